// Operators return before a GPU has run them; the tests read results at once. These definitions take the place of
// libadze.so's own in the test program, call those, and wait. What a capture records is not waited for.
#include <adze/adze.h>
#include <dlfcn.h>

#include "kit/gpu_memory.h"

namespace {

/// The library's function behind one of ours.
template <class Function>
Function* of_library(const char* name, Function*) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

adze_status finish(adze_stream* stream, adze_status status) {
    if (status != ADZE_OK || !kit::has_gpu()) return status;
    // On a capturing stream waiting is INVALID_STATE, and harms nothing.
    if (adze_stream_synchronize(stream) == ADZE_ERROR_DEVICE) kit::give_up_on_gpu(adze_last_error());
    return status;
}

}  // namespace

#define ADZE_RUN_AND_WAIT(function, desc_type)                                    \
    extern "C" adze_status function(adze_stream* stream, const desc_type* desc) { \
        static const auto run = of_library(#function, &function);                 \
        return finish(stream, run(stream, desc));                                 \
    }

ADZE_RUN_AND_WAIT(adze_linear_run, adze_linear_desc)
ADZE_RUN_AND_WAIT(adze_attention_run, adze_attention_desc)
ADZE_RUN_AND_WAIT(adze_kv_append_run, adze_kv_append_desc)
ADZE_RUN_AND_WAIT(adze_embedding_run, adze_embedding_desc)
ADZE_RUN_AND_WAIT(adze_rms_norm_run, adze_rms_norm_desc)
ADZE_RUN_AND_WAIT(adze_rope_run, adze_rope_desc)
ADZE_RUN_AND_WAIT(adze_silu_gate_run, adze_silu_gate_desc)
ADZE_RUN_AND_WAIT(adze_sampling_run, adze_sampling_desc)
