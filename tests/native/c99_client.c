/* The headers in C99, as an engine written in C would use them: y = silu(x) * x through a buffer. */
#include <adze/adze.h>
#include <stdio.h>

#define CHECK(call)                                                       \
    do {                                                                  \
        if ((call) != ADZE_OK) {                                          \
            fprintf(stderr, "%s failed: %s\n", #call, adze_last_error()); \
            return 1;                                                     \
        }                                                                 \
    } while (0)

int main(void) {
    adze_context_desc desc = {.struct_size = sizeof(desc), .backend = ADZE_BACKEND_CPU};
    adze_context* context = NULL;
    adze_stream* stream = NULL;
    adze_buffer* buffer = NULL;
    adze_silu_gate_desc silu = {.struct_size = sizeof(silu)};
    float values[3] = {0.0f, 1.0f, -1.0f};

    if (adze_version() != ADZE_VERSION || adze_abi_version() != ADZE_ABI_VERSION) {
        fprintf(stderr, "headers and library differ\n");
        return 1;
    }
    CHECK(adze_context_create(&desc, &context));
    CHECK(adze_stream_create(context, &stream));
    CHECK(adze_buffer_create(context, sizeof values, &buffer));
    CHECK(adze_buffer_write(buffer, 0, values, sizeof values, stream));
    silu.gate.data = adze_buffer_data(buffer);
    silu.gate.rows = 1;
    silu.gate.columns = 3;
    silu.gate.row_stride = 3;
    silu.gate.dtype = ADZE_DTYPE_F32;
    silu.up = silu.gate;
    silu.y = silu.gate;
    CHECK(adze_silu_gate_run(stream, &silu));
    CHECK(adze_buffer_read(buffer, 0, values, sizeof values, stream));
    CHECK(adze_stream_synchronize(stream));
    CHECK(adze_buffer_destroy(buffer));
    CHECK(adze_stream_destroy(stream));
    CHECK(adze_context_destroy(context));
    if (values[0] != 0.0f || values[1] < 0.7310f || values[1] > 0.7311f || values[2] < 0.2689f || values[2] > 0.2690f) {
        fprintf(stderr, "silu(x) * x is %g %g %g\n", values[0], values[1], values[2]);
        return 1;
    }
    return 0;
}
