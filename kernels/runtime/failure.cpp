// How failures reach the caller of libadze: as exceptions up to the C function, then as a status and a message.
#include "runtime/check.h"

namespace adze {
namespace {

thread_local std::string last_error;

}  // namespace

void fail_with(adze_status status, const std::string& message) {
    throw Failure{status, message};
}

adze_status record_failure(const char* function, adze_status status, const std::string& message) noexcept {
    try {
        last_error = std::string(function) + ": " + message;
    } catch (...) {
        last_error.clear();
    }
    return status;
}

}  // namespace adze

extern "C" {

const char* adze_last_error(void) {
    return adze::last_error.c_str();
}

const char* adze_status_name(adze_status status) {
    switch (status) {
        case ADZE_OK:
            return "ok";
        case ADZE_ERROR_INVALID_ARGUMENT:
            return "invalid argument";
        case ADZE_ERROR_NOT_SUPPORTED:
            return "not supported";
        case ADZE_ERROR_UNAVAILABLE:
            return "unavailable";
        case ADZE_ERROR_OUT_OF_MEMORY:
            return "out of memory";
        case ADZE_ERROR_INVALID_STATE:
            return "invalid state";
        case ADZE_ERROR_DEVICE:
            return "device error";
        case ADZE_ERROR_INTERNAL:
            return "internal error";
    }
    return "unknown status";
}

}  // extern "C"
