#include "kit/gpu_memory.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <string>

#include "kit/machine.h"

namespace kit {
namespace {

[[noreturn]] void stop(const std::string& why) {
    std::fflush(stdout);
    std::fprintf(stderr, "\n%s\nno further test is run\n", why.c_str());
    if (const auto* test = testing::UnitTest::GetInstance()->current_test_info()) {
        std::fprintf(stderr, "repeat with: ADZE_SEED=%llu adze_tests --gtest_filter=%s.%s\n",
                     static_cast<unsigned long long>(base_seed()), test->test_suite_name(), test->name());
    }
    _exit(3);
}

/// What tests need of a vendor's driver.
class Driver {
public:
    virtual ~Driver() = default;
    virtual void share(void* data, size_t bytes) = 0;
    virtual void unshare(void* data) = 0;
    virtual void* allocate_managed(size_t bytes) = 0;
    virtual void release(void* data) = 0;
    virtual size_t free_bytes() = 0;
};

class Library {
public:
    explicit Library(std::initializer_list<const char*> names) {
        for (const char* name : names) {
            if (library_ == nullptr) library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        }
        if (library_ == nullptr) stop(std::string("a GPU is to be tested, and its driver does not load: ") + dlerror());
    }
    template <class Function>
    void find(Function& function, const char* name) const {
        function = reinterpret_cast<Function>(dlsym(library_, name));
        if (function == nullptr) stop(std::string("the driver has no ") + name);
    }

private:
    void* library_ = nullptr;
};

std::string numbered(const char* call, int result) {
    return std::string(call) + " failed with error " + std::to_string(result);
}

/// The CUDA driver's calls as cuda.h declares them; memory is of the primary context, in which libadze.so works.
class CudaDriver : public Driver {
    using Address = unsigned long long;

public:
    explicit CudaDriver(int device) : library_({"libcuda.so.1"}) {
        library_.find(get_error_name_, "cuGetErrorName");
        library_.find(init_, "cuInit");
        library_.find(device_get_, "cuDeviceGet");
        library_.find(get_attribute_, "cuDeviceGetAttribute");
        library_.find(retain_, "cuDevicePrimaryCtxRetain");
        library_.find(push_, "cuCtxPushCurrent_v2");
        library_.find(pop_, "cuCtxPopCurrent_v2");
        library_.find(register_, "cuMemHostRegister_v2");
        library_.find(unregister_, "cuMemHostUnregister");
        library_.find(get_device_pointer_, "cuMemHostGetDevicePointer_v2");
        library_.find(alloc_managed_, "cuMemAllocManaged");
        library_.find(free_, "cuMemFree_v2");
        library_.find(get_info_, "cuMemGetInfo_v2");
        check("cuInit", init_(0));
        int handle = 0;
        check("cuDeviceGet", device_get_(&handle, device));
        require(handle, 41, "unified addresses (CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)");
        require(handle, 91, "CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM");
        require(handle, 83, "managed memory (CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY)");
        check("cuDevicePrimaryCtxRetain", retain_(&context_, handle));  // for as long as the program runs
    }

    void share(void* data, size_t bytes) override {
        constexpr unsigned kPortable = 1, kDeviceMap = 2;
        const InContext scope(*this);
        check("cuMemHostRegister", register_(data, bytes, kPortable | kDeviceMap));
        Address address = 0;
        check("cuMemHostGetDevicePointer", get_device_pointer_(&address, data, 0));
        if (address != reinterpret_cast<Address>(data)) stop("registered memory has another address on the GPU");
    }
    void unshare(void* data) override {
        const InContext scope(*this);
        check("cuMemHostUnregister", unregister_(data));
    }
    void* allocate_managed(size_t bytes) override {
        constexpr unsigned kGlobal = 1;
        const InContext scope(*this);
        Address address = 0;
        check("cuMemAllocManaged", alloc_managed_(&address, bytes, kGlobal));
        return reinterpret_cast<void*>(address);
    }
    void release(void* data) override {
        const InContext scope(*this);
        check("cuMemFree", free_(reinterpret_cast<Address>(data)));
    }
    size_t free_bytes() override {
        const InContext scope(*this);
        size_t free = 0, total = 0;
        check("cuMemGetInfo", get_info_(&free, &total));
        return free;
    }

private:
    class InContext {
    public:
        explicit InContext(CudaDriver& driver) : driver_(driver) {
            driver.check("cuCtxPushCurrent", driver.push_(driver.context_));
        }
        ~InContext() {
            void* popped = nullptr;
            driver_.pop_(&popped);
        }
        InContext(const InContext&) = delete;
        InContext& operator=(const InContext&) = delete;

    private:
        CudaDriver& driver_;
    };

    void check(const char* call, int result) const {
        if (result == 0) return;
        const char* name = nullptr;
        get_error_name_(result, &name);
        stop(numbered(call, result) + ", " + (name == nullptr ? "unknown" : name));
    }
    void require(int device, int attribute, const char* what) const {
        int value = 0;
        check("cuDeviceGetAttribute", get_attribute_(&value, attribute, device));
        if (value == 0) stop(std::string("these tests share host memory with the GPU, which lacks ") + what);
    }

    const Library library_;
    int (*get_error_name_)(int, const char**) = nullptr;
    int (*init_)(unsigned) = nullptr;
    int (*device_get_)(int*, int) = nullptr;
    int (*get_attribute_)(int*, int, int) = nullptr;
    int (*retain_)(void**, int) = nullptr;
    int (*push_)(void*) = nullptr;
    int (*pop_)(void**) = nullptr;
    int (*register_)(void*, size_t, unsigned) = nullptr;
    int (*unregister_)(void*) = nullptr;
    int (*get_device_pointer_)(Address*, void*, unsigned) = nullptr;
    int (*alloc_managed_)(Address*, size_t, unsigned) = nullptr;
    int (*free_)(Address) = nullptr;
    int (*get_info_)(size_t*, size_t*) = nullptr;
    void* context_ = nullptr;
};

/// HIP's runtime, whose current device is the thread's first unless somebody says otherwise.
class HipDriver : public Driver {
public:
    HipDriver() : library_({"libamdhip64.so", "libamdhip64.so.6", "libamdhip64.so.5"}) {
        library_.find(register_, "hipHostRegister");
        library_.find(unregister_, "hipHostUnregister");
        library_.find(get_device_pointer_, "hipHostGetDevicePointer");
        library_.find(alloc_managed_, "hipMallocManaged");
        library_.find(free_, "hipFree");
        library_.find(get_info_, "hipMemGetInfo");
    }

    void share(void* data, size_t bytes) override {
        constexpr unsigned kPortable = 1, kMapped = 2;
        check("hipHostRegister", register_(data, bytes, kPortable | kMapped));
        void* address = nullptr;
        check("hipHostGetDevicePointer", get_device_pointer_(&address, data, 0));
        if (address != data) stop("registered memory has another address on the GPU");
    }
    void unshare(void* data) override { check("hipHostUnregister", unregister_(data)); }
    void* allocate_managed(size_t bytes) override {
        constexpr unsigned kGlobal = 1;
        void* data = nullptr;
        check("hipMallocManaged", alloc_managed_(&data, bytes, kGlobal));
        return data;
    }
    void release(void* data) override { check("hipFree", free_(data)); }
    size_t free_bytes() override {
        size_t free = 0, total = 0;
        check("hipMemGetInfo", get_info_(&free, &total));
        return free;
    }

private:
    static void check(const char* call, int result) {
        if (result != 0) stop(numbered(call, result));
    }

    const Library library_;
    int (*register_)(void*, size_t, unsigned) = nullptr;
    int (*unregister_)(void*) = nullptr;
    int (*get_device_pointer_)(void**, void*, unsigned) = nullptr;
    int (*alloc_managed_)(void**, size_t, unsigned) = nullptr;
    int (*free_)(void*) = nullptr;
    int (*get_info_)(size_t*, size_t*) = nullptr;
};

/// Of the first GPU: memory that is registered with one is there for all (portable). NULL where there is none.
Driver* driver() {
    static Driver* const found = []() -> Driver* {  // never destroyed: memory may be given back at the very end
        for (const Machine& machine : gpu_machines()) {
            if (machine.backend == ADZE_BACKEND_CUDA) return new CudaDriver(machine.device);
            if (machine.backend == ADZE_BACKEND_HIP) return new HipDriver;
        }
        return nullptr;
    }();
    return found;
}

/// A failed GPU fails every call from then on: the test that saw it first is the one to name.
void require_working_gpu() {
    for (const Machine& machine : gpu_machines()) {
        if (machine.backend == ADZE_BACKEND_SIM) continue;
        const adze_context_desc desc = describe(machine);
        adze_context* context = nullptr;
        adze_stream* stream = nullptr;
        adze_status status = adze_context_create(&desc, &context);
        if (status == ADZE_OK) status = adze_stream_create(context, &stream);
        if (status == ADZE_OK) status = adze_stream_synchronize(stream);
        if (status == ADZE_ERROR_DEVICE) give_up_on_gpu(adze_last_error());
        adze_stream_destroy(stream);
        adze_context_destroy(context);
    }
}

class Watch : public testing::EmptyTestEventListener {
    void OnTestEnd(const testing::TestInfo& info) override {
        if (info.result()->Failed() && has_gpu()) require_working_gpu();
    }
};
[[maybe_unused]] const bool kWatching = [] {
    testing::UnitTest::GetInstance()->listeners().Append(new Watch);
    return true;
}();

}  // namespace

bool has_gpu() {
    return driver() != nullptr;
}

std::shared_ptr<void> share_with_gpu(void* data, size_t bytes) {
    if (!has_gpu()) return nullptr;
    driver()->share(data, bytes);
    return {data, [](void* p) { driver()->unshare(p); }};
}

std::shared_ptr<void> allocate_for_gpu(size_t bytes) {
    if (!has_gpu()) return nullptr;
    if (const size_t free = driver()->free_bytes(); bytes > free) {
        throw std::runtime_error("this test wants " + std::to_string(bytes) + " bytes of address space; the GPU has " +
                                 std::to_string(free) + " bytes free");
    }
    return {driver()->allocate_managed(bytes), [](void* p) { driver()->release(p); }};
}

void give_up_on_gpu(const char* message) {
    stop(std::string("a GPU failed, most likely because a kernel left its tensors: ") + message);
}

}  // namespace kit
