// What calls check of the caches that they name.
#pragma once

#include <array>

#include "attention/attention.h"
#include "runtime/check.h"

namespace adze {

// Each by itself, and that they are two of a kind.
void require_caches(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v, const char* v_name,
                    uint32_t dtypes, const AttentionShape& shape);

// From the first to the last of the elements, and of the scales, of either.
std::array<Memory, 4> cache_memory(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v,
                                   const char* v_name, const AttentionShape& shape);

// Nothing that appending stores lies where anything else of the caches does.
void require_writable(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v, const char* v_name,
                      const AttentionShape& shape);

}  // namespace adze
