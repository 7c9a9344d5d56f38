// A libcuda.so.1 for driver_client.cpp: prints what it is asked for, and lacks the function that DRIVER_LACKS names.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int look_up(const char* name, void** address, int version) {
    std::printf("%s %d, ", name, version);
    const char* lacks = std::getenv("DRIVER_LACKS");
    static int function;
    *address = lacks != nullptr && std::strcmp(lacks, name) == 0 ? nullptr : &function;
    return 0;
}

}  // namespace

extern "C" {

#if DRIVER_LOOK_UP == 2
int cuGetProcAddress_v2(const char* name, void** address, int version, unsigned long long, void*) {
    return look_up(name, address, version);
}
#elif DRIVER_LOOK_UP == 1
int cuGetProcAddress(const char* name, void** address, int version, unsigned long long) {
    return look_up(name, address, version);
}
#else
int cuInit(unsigned) {
    return look_up("", nullptr, 0);
}
#endif

}  // extern "C"
