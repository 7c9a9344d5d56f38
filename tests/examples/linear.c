#include <adze/adze.h>
#include <stdio.h>

#define TRY(calls) \
    if (calls) return fprintf(stderr, "%s\n", adze_last_error()), 1

int main(void) {
    const float w[2][3] = {{1, 2, 3}, {4, 5, 6}}, x[3] = {1, 0, -1};
    float y[2];
    adze_context* context;
    adze_stream* stream;
    adze_weight* weight;
    adze_buffer* memory; /* x, y, and at 256 a workspace; adze_linear_workspace_size() tells how large it must be */
    const adze_weight_desc weight_desc = {sizeof weight_desc, ADZE_DTYPE_F32, w, 2, 3, 0};
    TRY(adze_context_create(NULL, &context) || adze_stream_create(context, &stream));
    TRY(adze_weight_create(context, &weight_desc, &weight) || adze_buffer_create(context, 4096, &memory));
    char* data = adze_buffer_data(memory);
    const adze_tensor in = {data, 1, 3, 3, ADZE_DTYPE_F32, 0}, out = {data + 64, 1, 2, 2, ADZE_DTYPE_F32, 0};
    const adze_linear_desc desc = {sizeof desc, 0, weight, in, out, {0}, data + 256, 4096 - 256};
    TRY(adze_buffer_write(memory, 0, x, sizeof x, stream) || adze_linear_run(stream, &desc));
    TRY(adze_buffer_read(memory, 64, y, sizeof y, stream) || adze_stream_synchronize(stream));
    printf("%g %g\n", y[0], y[1]); /* -2 -2 */
    TRY(adze_buffer_destroy(memory) || adze_weight_destroy(weight));
    TRY(adze_stream_destroy(stream) || adze_context_destroy(context));
    return 0;
}
