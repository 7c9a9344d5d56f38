// Refused calls, and descriptors that end where memory does.
#pragma once
#include <adze/adze.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "kit/memory.h"

namespace kit {

/// `status` is `expected`, and the message reads "function: ... argument ... value ...; what is allowed".
testing::AssertionResult refused(adze_status status, adze_status expected, const std::string& function,
                                 const std::string& argument, const std::string& value = "");

inline testing::AssertionResult invalid(adze_status status, const std::string& function, const std::string& argument,
                                        const std::string& value = "") {
    return refused(status, ADZE_ERROR_INVALID_ARGUMENT, function, argument, value);
}

/// The first `size` bytes of a descriptor (and `tail` after them if it is larger than the type), with struct_size set,
/// in front of memory that faults: a library that reads on dies.
template <class Desc>
class AtEdge {
public:
    AtEdge(const Desc& desc, uint32_t size, std::byte tail = std::byte{0}) : memory_((size + 7) / 8 * 8) {
        // A descriptor of an odd size cannot end at the fence and be aligned: its last 8 bytes are rounded up.
        std::memset(memory_.data(), int(tail), memory_.bytes());
        std::memcpy(memory_.data(), &desc, std::min<size_t>(size, sizeof desc));
        if (size >= sizeof size) std::memcpy(memory_.data(), &size, sizeof size);
    }
    const Desc* get() const { return reinterpret_cast<const Desc*>(memory_.data()); }

private:
    Fenced memory_;
};

/// The rules on struct_size that hold for every descriptor (base.h). `call` takes a pointer to the descriptor; `desc`
/// is one with which it succeeds.
template <class Desc, class Call>
void check_struct_size(const Desc& desc, const std::string& function, const Call& call) {
    SCOPED_TRACE(function);
    for (uint32_t size : {0u, 1u, 3u}) {
        Desc tiny = desc;
        tiny.struct_size = size;
        EXPECT_TRUE(invalid(call(&tiny), function, "struct_size", std::to_string(size)));
    }
    // Cut between fields, right or wrong, nothing behind the end is read. What is cut off is zero, so some calls fail.
    for (uint32_t size = alignof(Desc); size < sizeof(Desc); size += alignof(Desc)) {
        const adze_status status = call(AtEdge<Desc>(desc, size).get());
        EXPECT_TRUE(status == ADZE_OK || status == ADZE_ERROR_INVALID_ARGUMENT) << size << ": " << adze_last_error();
    }
    EXPECT_EQ(call(AtEdge<Desc>(desc, sizeof(Desc)).get()), ADZE_OK) << adze_last_error();
    Desc garbage = desc;  // a forgotten struct_size: not a licence to read 4 GB
    garbage.struct_size = UINT32_MAX;
    EXPECT_TRUE(invalid(call(&garbage), function, "struct_size", std::to_string(UINT32_MAX)));
    for (uint32_t more : {8u, 64u, 512u}) {
        EXPECT_EQ(call(AtEdge<Desc>(desc, sizeof(Desc) + more).get()), ADZE_OK) << adze_last_error();
        const AtEdge<Desc> unknown(desc, sizeof(Desc) + more, std::byte{1});
        EXPECT_TRUE(invalid(call(unknown.get()), function, "struct_size"));
    }
}

}  // namespace kit
