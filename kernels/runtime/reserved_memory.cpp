#include "runtime/reserved_memory.h"

#include <algorithm>

#include "runtime/check.h"

namespace adze {
namespace {

uint64_t divide_up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

}  // namespace

ReservedMemory::ReservedMemory(const BackendTable& backend, DeviceContext* context, uint64_t bytes)
    : backend_(backend),
      context_(context),
      bytes_(bytes),
      granularity_(backend.granularity(context)),
      granules_(divide_up(bytes, granularity_)),
      data_(backend.reserve(context, granules_ * granularity_, granularity_)) {
    try {
        mapped_.resize(granules_);
    } catch (...) {
        backend.unreserve(context, data_, granules_ * granularity_);
        throw;
    }
}

ReservedMemory::~ReservedMemory() {
    try {
        for (const Run& run : runs(0, granules_, true)) set(run, false);
    } catch (...) {  // a device that fails takes its memory with it
    }
    backend_.unreserve(context_, data_, granules_ * granularity_);
}

void ReservedMemory::map(uint64_t offset, uint64_t bytes) {
    if (bytes == 0) return;
    const std::vector<Run> holes = runs(offset / granularity_, divide_up(offset + bytes, granularity_), false);
    size_t done = 0;
    try {
        for (; done < holes.size(); ++done) set(holes[done], true);
    } catch (...) {
        while (done > 0) set(holes[--done], false);
        throw;
    }
}

void ReservedMemory::unmap(uint64_t offset, uint64_t bytes) {
    const size_t begin = divide_up(offset, granularity_);
    const size_t end = offset + bytes == bytes_ ? granules_ : (offset + bytes) / granularity_;
    for (const Run& run : runs(begin, end, true)) set(run, false);
}

uint64_t ReservedMemory::first_unmapped(uint64_t offset, uint64_t bytes) const {
    const uint64_t end = offset + bytes;
    while (offset < end && mapped_[offset / granularity_]) offset = (offset / granularity_ + 1) * granularity_;
    return std::min(offset, end);
}

std::vector<ReservedMemory::Run> ReservedMemory::runs(size_t begin, size_t end, bool mapped) const {
    std::vector<Run> found;
    for (size_t i = begin; i < end; ++i) {
        if (mapped_[i] != mapped) continue;
        if (found.empty() || found.back().end != i) found.push_back({i, i});
        found.back().end = i + 1;
    }
    return found;
}

void ReservedMemory::set(const Run& run, bool mapped) {
    char* data = static_cast<char*>(data_) + run.begin * granularity_;
    (mapped ? backend_.map : backend_.unmap)(context_, data, (run.end - run.begin) * granularity_, granularity_);
    std::fill(mapped_.begin() + static_cast<int64_t>(run.begin), mapped_.begin() + static_cast<int64_t>(run.end),
              mapped);
}

}  // namespace adze
