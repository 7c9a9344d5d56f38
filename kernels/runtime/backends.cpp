// Which backend serves a request: cpu is built in, and cuda where nvcc built the library; sim and hip are plug-ins,
// looked for beside libadze.so, then in ADZE_PLUGIN_PATH (folders, colon-separated), then, in a source build, in the
// checkout's build folders.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/backend.h"
#include "runtime/check.h"

namespace adze {
namespace {

struct PluginSlot {
    const char* backend;
    const char* file;
    std::mutex mutex;
    const BackendTable* table = nullptr;  // once found; a plug-in stays loaded
};
PluginSlot sim_plugin{"sim", "libadze_sim.so", {}, nullptr};
PluginSlot hip_plugin{"hip", "libadze_hip.so", {}, nullptr};

[[noreturn]] void fail_for_plugin(adze_status status, const char* message) {
    throw Failure{status, message};
}
constexpr HostServices kHostServices{fail_for_plugin};

std::vector<std::string> plugin_folders(const std::string& backend) {
    std::vector<std::string> folders;
    Dl_info self{};
    if (dladdr(reinterpret_cast<const void*>(&find_backend), &self) != 0 && self.dli_fname != nullptr) {
        const std::string path = self.dli_fname;
        const size_t slash = path.rfind('/');
        folders.push_back(slash == std::string::npos ? "." : path.substr(0, slash));
    }
    if (const char* list = std::getenv("ADZE_PLUGIN_PATH")) {
        std::string rest = list;
        while (!rest.empty()) {
            const size_t colon = rest.find(':');
            if (colon != 0) folders.push_back(rest.substr(0, colon));
            rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
        }
    }
#ifdef ADZE_SOURCE_BUILD_ROOT
    folders.push_back(ADZE_SOURCE_BUILD_ROOT "/" + backend);
#endif
    return folders;
}

const BackendTable* open_plugin(const std::string& path, const char* backend) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail(ADZE_ERROR_UNAVAILABLE, "the plug-in does not load: %s", dlerror());
    const auto* plugin = static_cast<const Plugin*>(dlsym(library, kPluginSymbol));
    if (plugin == nullptr || plugin->interface_hash != ADZE_INTERFACE_HASH) {
        dlclose(library);
        fail(ADZE_ERROR_UNAVAILABLE,
             "%s is not a plug-in of this build of libadze; build it again: cmake --preset %s && cmake --build "
             "--preset %s",
             path.c_str(), backend, backend);
    }
    return plugin->open(kHostServices);
}

// NULL: there is none, and `looked` says where it was looked for.
const BackendTable* look_for_plugin(PluginSlot& slot, std::string& looked) {
    const std::scoped_lock lock(slot.mutex);
    if (slot.table != nullptr) return slot.table;
    for (const std::string& folder : plugin_folders(slot.backend)) {
        const std::string path = folder + "/" + slot.file;
        if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
            std::fclose(file);
            slot.table = open_plugin(path, slot.backend);
            return slot.table;
        }
        looked += (looked.empty() ? "" : ", ") + folder;
    }
    return nullptr;
}

const BackendTable& find_plugin(PluginSlot& slot) {
    std::string looked;
    if (const BackendTable* table = look_for_plugin(slot, looked)) return *table;
    fail(
        ADZE_ERROR_UNAVAILABLE,
        "backend %s: plug-in not found; build it: cmake --preset %s && cmake --build --preset %s (looked for %s in %s)",
        slot.backend, slot.backend, slot.backend, slot.file, looked.c_str());
}

// For AUTO a GPU that cannot be used is as good as none.
const BackendTable* usable(const BackendTable* (*find)()) {
    try {
        const BackendTable* table = find();
        return table != nullptr && table->has_usable_device() ? table : nullptr;
    } catch (const Failure&) {
        return nullptr;
    }
}

const BackendTable* find_cuda() {
#ifdef ADZE_HAS_CUDA
    return &cuda_backend();
#else
    return nullptr;
#endif
}

// HIP's runtime starts threads when it is loaded: not where the kernel driver of AMD's GPUs is missing.
const BackendTable* find_hip() {
    if (access("/dev/kfd", F_OK) != 0) return nullptr;
    std::string looked;
    return look_for_plugin(hip_plugin, looked);
}

const BackendTable& choose_backend() {
    for (const auto find : {find_cuda, find_hip}) {
        if (const BackendTable* table = usable(find)) return *table;
    }
    return cpu_backend();
}

}  // namespace

const BackendTable& find_backend(adze_backend backend) {
    switch (backend) {
        case ADZE_BACKEND_AUTO:
            return choose_backend();
        case ADZE_BACKEND_CPU:
            return cpu_backend();
        case ADZE_BACKEND_SIM:
            return find_plugin(sim_plugin);
        case ADZE_BACKEND_HIP:
            return find_plugin(hip_plugin);
        case ADZE_BACKEND_CUDA:
            break;
    }
    if (const BackendTable* table = find_cuda()) return *table;
    fail(
        ADZE_ERROR_UNAVAILABLE,
        "backend cuda is not built into this libadze.so; build it: cmake --preset cuda && cmake --build --preset cuda");
}

}  // namespace adze
