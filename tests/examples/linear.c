#include <adze/adze.h>
#include <stdio.h>

int main(void) {
    const float w[2][3] = {{1, 2, 3}, {4, 5, 6}}, x[3] = {1, 0, -1};
    float y[2];
    adze_context* context;
    adze_stream* stream;
    adze_weight* weight;
    adze_buffer* memory; /* x, then y, then the workspace at 256 bytes */
    adze_weight_desc weight_desc = {sizeof weight_desc, ADZE_DTYPE_F32, w, 2, 3, 0};
    uint64_t size;
    if (adze_context_create(NULL, &context) || adze_stream_create(context, &stream) ||
        adze_weight_create(context, &weight_desc, &weight) || adze_linear_workspace_size(weight, 1, &size) ||
        adze_buffer_create(context, 256 + size, &memory) || adze_buffer_write(memory, 0, x, sizeof x, stream))
        return fprintf(stderr, "%s\n", adze_last_error()), 1;
    char* data = adze_buffer_data(memory);
    adze_tensor in = {data, 1, 3, 3, ADZE_DTYPE_F32, 0}, out = {data + 64, 1, 2, 2, ADZE_DTYPE_F32, 0};
    adze_linear_desc desc = {sizeof desc, 0, weight, in, out, {0}, data + 256, size};
    if (adze_linear_run(stream, &desc) || adze_buffer_read(memory, 64, y, sizeof y, stream) ||
        adze_stream_synchronize(stream))
        return fprintf(stderr, "%s\n", adze_last_error()), 1;
    printf("%g %g\n", y[0], y[1]); /* -2 -2 */
    return adze_buffer_destroy(memory) || adze_weight_destroy(weight) || adze_stream_destroy(stream) ||
           adze_context_destroy(context);
}
