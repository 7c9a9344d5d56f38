#include <algorithm>
#include <memory>

#include "runtime/objects.h"

namespace adze {
namespace {

void require_backend(adze_backend backend) {
    require(backend >= ADZE_BACKEND_AUTO && backend <= ADZE_BACKEND_HIP,
            "backend is %d; allowed is 0 (auto), 1 (cpu), 2 (sim), 3 (cuda), 4 (hip)", static_cast<int>(backend));
}

void require_device(const BackendTable& backend, int32_t device) {
    const int32_t count = backend.device_count();
    require(device >= 0, "device is %d; it must not be negative", device);
    if (device >= count && count > 0)  // without any the backend says why
        fail(ADZE_ERROR_UNAVAILABLE, "device is %d; the backend has %d, counted from 0", device, count);
}

// Fills what the caller's struct_size has room for.
template <class Struct, class Fill>
void write_struct(Struct* out, const char* name, Fill&& fill) {
    const uint32_t size = require_struct_size(out, name);
    Struct full{};
    fill(full);
    full.struct_size = size;
    std::memset(static_cast<void*>(out), 0, size);  // what a newer client knows more
    std::memcpy(static_cast<void*>(out), &full, std::min<size_t>(size, sizeof full));
}

}  // namespace
}  // namespace adze

using namespace adze;

extern "C" {

adze_status adze_device_count(adze_backend backend, int32_t* count) {
    return guarded(__func__, [&] {
        require_backend(backend);
        require_pointer(count, "count");
        *count = find_backend(backend).device_count();
    });
}

adze_status adze_device_info_get(adze_backend backend, int32_t device, adze_device_info* info) {
    return guarded(__func__, [&] {
        require_backend(backend);
        const BackendTable& table = find_backend(backend);
        require_device(table, device);
        write_struct(info, "info", [&](adze_device_info& full) { table.device_info(device, full); });
    });
}

adze_status adze_context_create(const adze_context_desc* desc, adze_context** context) {
    return guarded(__func__, [&] {
        require_pointer(context, "context");
        *context = nullptr;
        const adze_context_desc full = desc == nullptr ? adze_context_desc{} : read_desc(desc);
        require_backend(full.backend);
        require_range(full.num_threads, 0, 1024, "num_threads");
        require_range(full.cpu_isa, ADZE_CPU_ISA_AUTO, ADZE_CPU_ISA_AVX512, "cpu_isa");
        require((full.flags & ~(ADZE_CONTEXT_DETERMINISTIC | ADZE_CONTEXT_CHECK_INDICES)) == 0,
                "flags is %#x; allowed are ADZE_CONTEXT_DETERMINISTIC (%#x) and ADZE_CONTEXT_CHECK_INDICES (%#x)",
                full.flags, ADZE_CONTEXT_DETERMINISTIC, ADZE_CONTEXT_CHECK_INDICES);
        const BackendTable& table = find_backend(full.backend);
        require_device(table, full.device);
        auto made = std::make_unique<adze_context>();
        made->backend = &table;
        made->device = table.context_create(full);
        made->deterministic = (full.flags & ADZE_CONTEXT_DETERMINISTIC) != 0;
        made->check_indices = (full.flags & ADZE_CONTEXT_CHECK_INDICES) != 0 && !table.checks_indices;
        *context = made.release();
    });
}

adze_status adze_context_destroy(adze_context* context) {
    return guarded(__func__, [&] {
        if (context == nullptr) return;
        const int64_t children = context->children.load();
        if (children != 0) {
            fail(ADZE_ERROR_INVALID_STATE, "context has %lld objects left; destroy them first",
                 static_cast<long long>(children));
        }
        context->backend->context_destroy(context->device);
        delete context;
    });
}

adze_status adze_context_info(const adze_context* context, adze_device_info* info) {
    return guarded(__func__, [&] {
        require_pointer(context, "context");
        write_struct(info, "info",
                     [&](adze_device_info& full) { context->backend->context_info(context->device, full); });
    });
}

adze_status adze_sim_counters(const adze_context* context, int32_t back, adze_sim_launch* launch) {
    return guarded(__func__, [&] {
        require_pointer(context, "context");
        if (context->backend->launch_counters == nullptr)
            fail(ADZE_ERROR_NOT_SUPPORTED, "the context is not of the sim backend, which alone counts");
        require_range(back, 0, 255, "back");
        write_struct(launch, "launch",
                     [&](adze_sim_launch& full) { context->backend->launch_counters(context->device, back, full); });
    });
}

}  // extern "C"
