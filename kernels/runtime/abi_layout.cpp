// The ABI's layout as compiled, for adze_abi_layout(). Tests compare it with the headers and with the C# bindings.
#include <cstddef>
#include <string>

#include "adze/adze.h"
#include "runtime/check.h"

namespace {

class Layout {
public:
    void add_struct(const char* name, size_t size) { line("struct", name, {size}); }
    void add_field(const char* name, size_t offset, size_t size) { line("field", name, {offset, size}); }
    void add_value(const char* name, size_t value) { line("value", name, {value}); }
    const std::string& text() const { return text_; }

private:
    void line(const char* kind, const char* name, std::initializer_list<size_t> numbers) {
        text_.append(kind).append(" ").append(name);
        for (const size_t number : numbers) text_.append(" ").append(std::to_string(number));
        text_.append("\n");
    }
    std::string text_;
};

#define STRUCT(type) layout.add_struct(#type, sizeof(type))
#define FIELD(type, name) layout.add_field(#type "." #name, offsetof(type, name), sizeof(type::name))
#define VALUE(name) layout.add_value(#name, static_cast<size_t>(name))

void add_base(Layout& layout) {
    VALUE(ADZE_OK);
    VALUE(ADZE_ERROR_INVALID_ARGUMENT);
    VALUE(ADZE_ERROR_NOT_SUPPORTED);
    VALUE(ADZE_ERROR_UNAVAILABLE);
    VALUE(ADZE_ERROR_OUT_OF_MEMORY);
    VALUE(ADZE_ERROR_INVALID_STATE);
    VALUE(ADZE_ERROR_DEVICE);
    VALUE(ADZE_ERROR_INTERNAL);
    VALUE(ADZE_DTYPE_NONE);
    VALUE(ADZE_DTYPE_F32);
    VALUE(ADZE_DTYPE_F16);
    VALUE(ADZE_DTYPE_BF16);
    VALUE(ADZE_DTYPE_I32);
    VALUE(ADZE_DTYPE_F8E4M3);
    VALUE(ADZE_DTYPE_I8);
    VALUE(ADZE_DTYPE_I4);
    VALUE(ADZE_VERSION);
    VALUE(ADZE_ABI_VERSION);
    STRUCT(adze_tensor);
    FIELD(adze_tensor, data);
    FIELD(adze_tensor, rows);
    FIELD(adze_tensor, columns);
    FIELD(adze_tensor, row_stride);
    FIELD(adze_tensor, dtype);
    FIELD(adze_tensor, reserved);
}

void add_runtime(Layout& layout) {
    VALUE(ADZE_BACKEND_AUTO);
    VALUE(ADZE_BACKEND_CPU);
    VALUE(ADZE_BACKEND_SIM);
    VALUE(ADZE_BACKEND_CUDA);
    VALUE(ADZE_BACKEND_HIP);
    VALUE(ADZE_CPU_ISA_AUTO);
    VALUE(ADZE_CPU_ISA_PORTABLE);
    VALUE(ADZE_CPU_ISA_AVX2);
    VALUE(ADZE_CPU_ISA_AVX512);
    VALUE(ADZE_CONTEXT_DETERMINISTIC);
    VALUE(ADZE_CONTEXT_CHECK_INDICES);
    STRUCT(adze_context_desc);
    FIELD(adze_context_desc, struct_size);
    FIELD(adze_context_desc, backend);
    FIELD(adze_context_desc, device);
    FIELD(adze_context_desc, num_threads);
    FIELD(adze_context_desc, cpu_isa);
    FIELD(adze_context_desc, flags);
    STRUCT(adze_device_info);
    FIELD(adze_device_info, struct_size);
    FIELD(adze_device_info, backend);
    FIELD(adze_device_info, device);
    FIELD(adze_device_info, num_processors);
    FIELD(adze_device_info, name);
    FIELD(adze_device_info, architecture);
    FIELD(adze_device_info, memory_bytes);
    FIELD(adze_device_info, shared_memory_per_block);
    FIELD(adze_device_info, warp_size);
    FIELD(adze_device_info, reserved);
}

void add_linear(Layout& layout) {
    STRUCT(adze_weight_desc);
    FIELD(adze_weight_desc, struct_size);
    FIELD(adze_weight_desc, dtype);
    FIELD(adze_weight_desc, data);
    FIELD(adze_weight_desc, rows);
    FIELD(adze_weight_desc, columns);
    FIELD(adze_weight_desc, row_stride);
    STRUCT(adze_linear_desc);
    FIELD(adze_linear_desc, struct_size);
    FIELD(adze_linear_desc, reserved);
    FIELD(adze_linear_desc, weight);
    FIELD(adze_linear_desc, x);
    FIELD(adze_linear_desc, y);
    FIELD(adze_linear_desc, bias);
    FIELD(adze_linear_desc, workspace);
    FIELD(adze_linear_desc, workspace_bytes);
}

void add_attention(Layout& layout) {
    VALUE(ADZE_SOFTMAX_STABLE);
    VALUE(ADZE_SOFTMAX_UNIFIED);
    VALUE(ADZE_SOFTMAX_TUNED);
    STRUCT(adze_kv_cache);
    FIELD(adze_kv_cache, data);
    FIELD(adze_kv_cache, num_pages);
    FIELD(adze_kv_cache, page_stride);
    FIELD(adze_kv_cache, token_stride);
    FIELD(adze_kv_cache, head_stride);
    FIELD(adze_kv_cache, scales);
    FIELD(adze_kv_cache, scale_page_stride);
    FIELD(adze_kv_cache, scale_token_stride);
    FIELD(adze_kv_cache, scale_head_stride);
    FIELD(adze_kv_cache, dtype);
    FIELD(adze_kv_cache, reserved);
    STRUCT(adze_attention_plan_desc);
    FIELD(adze_attention_plan_desc, struct_size);
    FIELD(adze_attention_plan_desc, num_q_heads);
    FIELD(adze_attention_plan_desc, num_kv_heads);
    FIELD(adze_attention_plan_desc, head_dim_qk);
    FIELD(adze_attention_plan_desc, head_dim_v);
    FIELD(adze_attention_plan_desc, page_size);
    FIELD(adze_attention_plan_desc, causal);
    FIELD(adze_attention_plan_desc, window);
    FIELD(adze_attention_plan_desc, softmax_scale);
    FIELD(adze_attention_plan_desc, max_sequences);
    FIELD(adze_attention_plan_desc, max_q_tokens);
    FIELD(adze_attention_plan_desc, max_kv_pages);
    FIELD(adze_attention_plan_desc, max_mask_words);
    FIELD(adze_attention_plan_desc, max_q_len);
    FIELD(adze_attention_plan_desc, sink_tokens);
    FIELD(adze_attention_plan_desc, logits_soft_cap);
    FIELD(adze_attention_plan_desc, reserved);
    STRUCT(adze_attention_batch);
    FIELD(adze_attention_batch, struct_size);
    FIELD(adze_attention_batch, num_sequences);
    FIELD(adze_attention_batch, qo_indptr);
    FIELD(adze_attention_batch, kv_indptr);
    FIELD(adze_attention_batch, kv_last_page_len);
    FIELD(adze_attention_batch, mask_indptr);
    STRUCT(adze_attention_desc);
    FIELD(adze_attention_desc, struct_size);
    FIELD(adze_attention_desc, softmax);
    FIELD(adze_attention_desc, plan);
    FIELD(adze_attention_desc, q);
    FIELD(adze_attention_desc, o);
    FIELD(adze_attention_desc, lse);
    FIELD(adze_attention_desc, kv_indices);
    FIELD(adze_attention_desc, k);
    FIELD(adze_attention_desc, v);
    FIELD(adze_attention_desc, workspace);
    FIELD(adze_attention_desc, workspace_bytes);
    FIELD(adze_attention_desc, mask);
    FIELD(adze_attention_desc, alibi_slopes);
    FIELD(adze_attention_desc, sinks);
    FIELD(adze_attention_desc, phi);
    FIELD(adze_attention_desc, phi_below);
    FIELD(adze_attention_desc, phi_above);
    STRUCT(adze_kv_append_desc);
    FIELD(adze_kv_append_desc, struct_size);
    FIELD(adze_kv_append_desc, reserved);
    FIELD(adze_kv_append_desc, plan);
    FIELD(adze_kv_append_desc, k);
    FIELD(adze_kv_append_desc, v);
    FIELD(adze_kv_append_desc, kv_indices);
    FIELD(adze_kv_append_desc, k_cache);
    FIELD(adze_kv_append_desc, v_cache);
    STRUCT(adze_attention_merge_desc);
    FIELD(adze_attention_merge_desc, struct_size);
    FIELD(adze_attention_merge_desc, num_parts);
    FIELD(adze_attention_merge_desc, num_heads);
    FIELD(adze_attention_merge_desc, reserved);
    FIELD(adze_attention_merge_desc, parts);
    FIELD(adze_attention_merge_desc, parts_lse);
    FIELD(adze_attention_merge_desc, o);
    FIELD(adze_attention_merge_desc, lse);
}

void add_glue(Layout& layout) {
    VALUE(ADZE_ROPE_SCALING_NONE);
    VALUE(ADZE_ROPE_SCALING_LINEAR);
    VALUE(ADZE_ROPE_SCALING_LLAMA3);
    STRUCT(adze_embedding_desc);
    FIELD(adze_embedding_desc, struct_size);
    FIELD(adze_embedding_desc, reserved);
    FIELD(adze_embedding_desc, ids);
    FIELD(adze_embedding_desc, table);
    FIELD(adze_embedding_desc, y);
    STRUCT(adze_rms_norm_desc);
    FIELD(adze_rms_norm_desc, struct_size);
    FIELD(adze_rms_norm_desc, epsilon);
    FIELD(adze_rms_norm_desc, x);
    FIELD(adze_rms_norm_desc, weight);
    FIELD(adze_rms_norm_desc, residual);
    FIELD(adze_rms_norm_desc, y);
    STRUCT(adze_rope_desc);
    FIELD(adze_rope_desc, struct_size);
    FIELD(adze_rope_desc, head_dim);
    FIELD(adze_rope_desc, x);
    FIELD(adze_rope_desc, positions);
    FIELD(adze_rope_desc, inv_freq);
    STRUCT(adze_rope_frequencies_desc);
    FIELD(adze_rope_frequencies_desc, struct_size);
    FIELD(adze_rope_frequencies_desc, rotary_dim);
    FIELD(adze_rope_frequencies_desc, theta);
    FIELD(adze_rope_frequencies_desc, scaling);
    FIELD(adze_rope_frequencies_desc, reserved);
    FIELD(adze_rope_frequencies_desc, factor);
    FIELD(adze_rope_frequencies_desc, low_freq_factor);
    FIELD(adze_rope_frequencies_desc, high_freq_factor);
    FIELD(adze_rope_frequencies_desc, original_context);
    STRUCT(adze_silu_gate_desc);
    FIELD(adze_silu_gate_desc, struct_size);
    FIELD(adze_silu_gate_desc, reserved);
    FIELD(adze_silu_gate_desc, gate);
    FIELD(adze_silu_gate_desc, up);
    FIELD(adze_silu_gate_desc, y);
}

void add_sampling(Layout& layout) {
    STRUCT(adze_sampling_params);
    FIELD(adze_sampling_params, temperature);
    FIELD(adze_sampling_params, top_k);
    FIELD(adze_sampling_params, top_p);
    FIELD(adze_sampling_params, min_p);
    FIELD(adze_sampling_params, seed);
    FIELD(adze_sampling_params, position);
    STRUCT(adze_sampling_desc);
    FIELD(adze_sampling_desc, struct_size);
    FIELD(adze_sampling_desc, params_stride);
    FIELD(adze_sampling_desc, logits);
    FIELD(adze_sampling_desc, params);
    FIELD(adze_sampling_desc, mask);
    FIELD(adze_sampling_desc, ids);
    FIELD(adze_sampling_desc, workspace);
    FIELD(adze_sampling_desc, workspace_bytes);
}

void add_sim(Layout& layout) {
    STRUCT(adze_sim_launch);
    FIELD(adze_sim_launch, struct_size);
    FIELD(adze_sim_launch, block_threads);
    FIELD(adze_sim_launch, kernel);
    FIELD(adze_sim_launch, grid_x);
    FIELD(adze_sim_launch, grid_y);
    FIELD(adze_sim_launch, grid_z);
    FIELD(adze_sim_launch, shared_bytes);
    FIELD(adze_sim_launch, global_read_bytes);
    FIELD(adze_sim_launch, global_write_bytes);
    FIELD(adze_sim_launch, global_read_sectors);
    FIELD(adze_sim_launch, global_write_sectors);
    FIELD(adze_sim_launch, global_requests);
    FIELD(adze_sim_launch, shared_requests);
    FIELD(adze_sim_launch, shared_bank_conflicts);
    FIELD(adze_sim_launch, matrix_instructions);
    FIELD(adze_sim_launch, matrix_multiply_adds);
    FIELD(adze_sim_launch, block_barriers);
    FIELD(adze_sim_launch, warp_barriers);
    FIELD(adze_sim_launch, async_copy_bytes);
}

std::string make_layout() {
    Layout layout;
    add_base(layout);
    add_runtime(layout);
    add_linear(layout);
    add_attention(layout);
    add_glue(layout);
    add_sampling(layout);
    add_sim(layout);
    return layout.text();
}

}  // namespace

const char* adze_abi_layout(void) {
    try {
        static const std::string text = make_layout();
        return text.c_str();
    } catch (...) {
        return "";
    }
}
