#!/usr/bin/env python3
"""Attention as PyTorch does it: SDPA with FlashAttention and with cuDNN, and FlexAttention, compiled.

    adze_bench --benchmark_list_tests --benchmark_filter=/bf16/contiguous/stable/ |
        bench/peers/attention_peers.py --out peers.json [--against adze.json] [--device cpu]

Takes the shapes from the names of adze_bench's benchmarks on stdin (bench/native/attention_bench.cpp has their form), K and V
contiguous in bf16, and measures as it does: calls that follow each other, the median of three repetitions, bytes and FLOP
counted alike, a copy of 1 GiB in the same run. The calls of a repetition are replays of a CUDA graph, so that Python's way to
a launch does not count. What each peer computes is first compared with float64.

Writes Google Benchmark's JSON with the peer in the place of the softmax: `adze bench attention --results adze.json peers.json`
makes one table of both. Ends with a summary, of the speeds of --against over the best peer's. Exit code 1 where nothing was
measured.
"""
import argparse
import json
import re
import statistics
import sys
import time
from collections import namedtuple

import torch

Q_HEADS, KV_HEADS, DIM = 32, 8, 128
NAME = re.compile(r'(decode|prefill)/bf16/contiguous/([^/]+)/(?:batch:(\d+)/context|tokens):(\d+)')


class Shape(namedtuple('Shape', 'work batch kv_len')):
    @property
    def qo_len(self):
        return self.kv_len if self.work == 'prefill' else 1

    @property
    def bytes(self):
        return 2 * DIM * self.batch * (2 * KV_HEADS * self.kv_len + 2 * Q_HEADS * self.qo_len)

    @property
    def flops(self):
        seen = self.qo_len * (self.kv_len - (self.qo_len - 1) / 2)
        return 4 * self.batch * Q_HEADS * DIM * seen

    def name(self, kernel):
        size = f'tokens:{self.kv_len}' if self.work == 'prefill' else f'batch:{self.batch}/context:{self.kv_len}'
        return f'{self.work}/bf16/contiguous/{kernel}/{size}'


def parse(name):
    """The shape and the kernel in a benchmark's name, or None."""
    match = NAME.match(name)
    return match and (Shape(match[1], int(match[3] or 1), int(match[4])), match[2])


# ---- peers: from q, k, v as [batch, heads, tokens, DIM] to a call that gives o ----

def sdpa(backend):
    def prepare(q, k, v, causal):
        from torch.nn.attention import SDPBackend, sdpa_kernel

        def call():
            with sdpa_kernel(getattr(SDPBackend, backend)):
                return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        return call
    return prepare


def flex(q, k, v, causal):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    torch._dynamo.reset()  # after some shapes it would compile no more
    compiled, mask = torch.compile(flex_attention, dynamic=False), None
    if causal:
        mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, q.shape[2], k.shape[2], device=q.device)
    return lambda: compiled(q, k, v, block_mask=mask, enable_gqa=True)


PEERS = {'sdpa-flash': sdpa('FLASH_ATTENTION'), 'sdpa-cudnn': sdpa('CUDNN_ATTENTION'), 'flex': flex}


# ---- measuring ----

def synchronize(device):
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def copy_bandwidth(device):
    """Bytes a second, read plus written, of a copy that no cache holds: the best of three."""
    count = 1 << (30 if device.type == 'cuda' else 26)
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target, seconds = torch.zeros_like(source), []
    for _ in range(4):  # the first is not at speed yet
        synchronize(device)
        start = time.perf_counter()
        target.copy_(source)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * count / min(seconds[1:])


def graph_of(call, count, device):
    """Makes `count` calls at once, through a graph where that works."""
    def calls():
        for _ in range(count):
            call()
    if device.type != 'cuda':
        return calls
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            calls()
        return graph.replay
    except RuntimeError as error:
        print(f'no graph: {error}', file=sys.stderr)
        return calls


def seconds_a_call(call, device, least=0.05, count=8):
    calls = graph_of(call, count, device)

    def timed(turns):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(turns):
            calls()
        synchronize(device)
        return (time.perf_counter() - start) / turns
    turns = max(1, round(least / timed(1)))
    return statistics.median(timed(turns) for _ in range(3)) / count


def error_of(o, q, k, v, causal):
    """Of the last sequence's first, middle and last query: the norm of the difference from float64, relative."""
    rows = sorted({0, q.shape[2] // 2, q.shape[2] - 1})
    k, v = (x[-1].double().repeat_interleave(Q_HEADS // KV_HEADS, 0) for x in (k, v))
    logits = q[-1][:, rows].double() @ k.transpose(1, 2) / DIM ** 0.5
    if causal:
        past = torch.arange(k.shape[1], device=k.device) > torch.tensor(rows, device=k.device)[:, None]
        logits = logits.masked_fill(past, float('-inf'))
    expected = torch.softmax(logits, -1) @ v
    return ((o[-1][:, rows].double() - expected).norm() / expected.norm()).item()


def measure(peer, shape, device, copy):
    def tokens(count, heads):  # [batch, tokens, heads, DIM] in memory, as adze_bench has them
        return torch.randn(shape.batch, count, heads, DIM, dtype=torch.bfloat16, device=device).transpose(1, 2)
    q, k, v = tokens(shape.qo_len, Q_HEADS), tokens(shape.kv_len, KV_HEADS), tokens(shape.kv_len, KV_HEADS)
    causal = shape.work == 'prefill'
    call = PEERS[peer](q, k, v, causal)
    error = error_of(call(), q, k, v, causal)
    if not error < 0.01:
        raise ValueError(f'relative error {error:.2g}')
    rate = 1 / seconds_a_call(call, device)
    return {'aggregate_name': 'median', 'real_time': 1e6 / rate, 'time_unit': 'us', 'bytes/s': shape.bytes * rate,
            'of_copy': shape.bytes * rate / copy, 'FLOP/s': shape.flops * rate}


def result(peer, shape, device, copy):
    row = {'run_name': shape.name(peer)}
    try:
        row.update(measure(peer, shape, device, copy))
        print(f"{row['run_name']:60} {row['real_time']:12.1f} us {100 * row['of_copy']:5.1f} % of a copy "
              f"{row['FLOP/s'] / 1e12:8.2f} TFLOP/s", flush=True)
    except Exception as error:  # what this PyTorch, or this device, does not have
        row.update(error_occurred=True, error_message=f'{peer}: {(str(error) or repr(error)).splitlines()[0]}')
        print(f"{row['run_name']:60} {row['error_message']}", flush=True)
    return row


# ---- the summary ----

def times(rows):
    """Microseconds by shape and kernel."""
    known = {}
    for row in rows:
        parsed = parse(row['run_name'])
        if parsed and 'error_occurred' not in row and row.get('aggregate_name', 'median') == 'median':
            known.setdefault(parsed[0], {})[parsed[1]] = row['real_time']
    return known


def summary(rows, against):
    peers = times(rows)
    text = f'{sum(map(len, peers.values()))} of {len(rows)} measured'
    for work in ('decode', 'prefill'):
        speeds = [min(peers[shape].values()) / min(adze.values()) for shape, adze in times(against).items()
                  if shape.work == work and shape in peers]
        if speeds:
            text += f', {work}: adze {min(speeds):.2f} to {max(speeds):.2f} of the best peer'
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', required=True, metavar='FILE')
    parser.add_argument('--against', metavar='FILE', help="adze_bench's JSON of the same run")
    parser.add_argument('--device', default='cuda:0')
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    shapes = list(dict.fromkeys(parsed[0] for parsed in map(parse, sys.stdin) if parsed))
    against = json.load(open(arguments.against))['benchmarks'] if arguments.against else []
    isa = 'sm_%d%d' % torch.cuda.get_device_capability(device) if device.type == 'cuda' else device.type
    context = {'adze': f'PyTorch {torch.__version__}', 'adze_isa': isa, 'adze_device': arguments.device}
    copy, rows = copy_bandwidth(device), []
    for peer in PEERS:
        for shape in shapes:
            rows.append(result(peer, shape, device, copy))
            with open(arguments.out, 'w') as out:  # who is stopped has what was measured until then
                json.dump({'context': context, 'benchmarks': rows}, out, indent=1)
    print(summary(rows, against))
    return 0 if times(rows) else 1


if __name__ == '__main__':
    sys.exit(main())
