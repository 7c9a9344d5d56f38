# bench/peers/attention_peers.py on PyTorch's cpu, with the formula that PyTorch documents in the place of its kernels
source "$(dirname "$0")/kit.sh"
needs python3
python3 -c 'import torch' 2>/dev/null || { echo "skipped: python3 has no torch" && exit 77; }
take bench/peers/attention_peers.py
cat >stand_in.py <<'PYTHON'
import contextlib, enum, math, os, runpy, sys, types
import torch

def attention(q, k, v, is_causal=False, enable_gqa=False):
    assert enable_gqa
    k, v = (x.float().repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    logits = q.float() @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    if is_causal:
        logits += torch.full(logits.shape[2:], -math.inf).triu(1)
    return (torch.softmax(logits, -1) @ v * float(os.environ.get('FACTOR', 1))).bfloat16()

@contextlib.contextmanager
def sdpa_kernel(backend):
    if backend == SDPBackend.CUDNN_ATTENTION:
        raise RuntimeError('No available kernel.\nAborting execution.')
    yield

SDPBackend = enum.Enum('SDPBackend', 'FLASH_ATTENTION CUDNN_ATTENTION')
module = types.ModuleType('torch.nn.attention')
module.SDPBackend, module.sdpa_kernel = SDPBackend, sdpa_kernel
flex = types.ModuleType('torch.nn.attention.flex_attention')
flex.create_block_mask = lambda mask, *sizes, device: mask
flex.flex_attention = lambda q, k, v, block_mask, enable_gqa: attention(q, k, v, block_mask is not None, enable_gqa)
sys.modules.update({'torch.nn.attention': module, 'torch.nn.attention.flex_attention': flex})
torch.nn.functional.scaled_dot_product_attention = attention
torch.compile = lambda call, dynamic: call
torch._dynamo = types.SimpleNamespace(reset=lambda: None)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
PYTHON

names=$(printf '%s\n' linear/bf16/M:1 decode/bf16/contiguous/stable/batch:2/context:40/min_time:0.050/real_time \
    prefill/bf16/contiguous/stable/tokens:33/real_time decode/bf16/page:16/stable/batch:2/context:40)
peers() {
    python3 stand_in.py bench/peers/attention_peers.py --device cpu --out peers.json "$@" <<<"$names"
}
# of NAME FIELD: in what was written.
of() {
    python3 -c 'import json, sys; print([row.get(sys.argv[2]) for row in json.load(open("peers.json"))["benchmarks"] if row["run_name"] == sys.argv[1]])' "$@"
}

cat >adze.json <<'JSON'
{"benchmarks": [{"run_name": "decode/bf16/contiguous/stable/batch:2/context:40/x", "real_time": 1e9},
                {"run_name": "decode/bf16/contiguous/stable/batch:2/context:40/x", "aggregate_name": "cv", "real_time": 0.01},
                {"run_name": "decode/bf16/contiguous/unified/batch:2/context:40/x", "error_occurred": true},
                {"run_name": "prefill/bf16/contiguous/stable/tokens:99/x", "real_time": 1}]}
JSON
expect 0 '^4 of 6 measured, decode: adze 0.00 to 0.00 of the best peer$' peers --against adze.json
cp output shown
expect 0 '^decode/bf16/contiguous/sdpa-flash/batch:2/context:40 +[0-9.]+ us +[0-9.]+ % of a copy +[0-9.]+ TFLOP/s$' cat shown
expect 0 "^\['median'\]$" of prefill/bf16/contiguous/flex/tokens:33 aggregate_name
expect 0 "^\['sdpa-cudnn: No available kernel.'\]$" of decode/bf16/contiguous/sdpa-cudnn/batch:2/context:40 error_message
# 2 sequences of 40 keys and values of 8 heads of 128, and q and o of 32; 33 * 34 / 2 visible pairs of 32 heads.
expect 0 '^\[360448, 9191424\]$' python3 -c 'import json
rows = {row["run_name"]: row for row in json.load(open("peers.json"))["benchmarks"]}
amount = lambda name, rate: round(rows[name][rate] * rows[name]["real_time"] / 1e6)
print([amount("decode/bf16/contiguous/flex/batch:2/context:40", "bytes/s"), amount("prefill/bf16/contiguous/flex/tokens:33", "FLOP/s")])'

# What computes something else is not measured; nor is a NaN.
export FACTOR=1.1
expect 1 'flex: relative error 0.1$' peers
export FACTOR=nan
expect 1 '^0 of 6 measured$' peers
cp output shown
expect 0 'sdpa-flash: relative error nan$' cat shown
finish
