#include "adze/base.h"

#define ADZE_TEXT_OF(x) #x
#define ADZE_TEXT(x) ADZE_TEXT_OF(x)

#if defined(__clang__)
    #define ADZE_COMPILER "clang " __clang_version__
#else
    #define ADZE_COMPILER "gcc " __VERSION__
#endif

#ifdef ADZE_HAS_CUDA
    #define ADZE_CUDA ", cuda (" ADZE_GPU_ARCHITECTURES ")"
#else
    #define ADZE_CUDA ""
#endif

#ifdef ADZE_HAS_AVX512
    #define ADZE_ISAS "portable avx2 avx512"
#else
    #define ADZE_ISAS "portable"
#endif

extern "C" {

uint32_t adze_version(void) {
    return ADZE_VERSION;
}

uint32_t adze_abi_version(void) {
    return ADZE_ABI_VERSION;
}

const char* adze_build_info(void) {
    static_assert(ADZE_VERSION == 0x000100u, "say the new version below");
    return "adze 0.1.0; ABI " ADZE_TEXT(ADZE_ABI_VERSION) "; backends: cpu (" ADZE_ISAS ")" ADZE_CUDA
                                                          "; plug-ins: sim, hip where found; compiler: " ADZE_COMPILER;
}

}  // extern "C"
