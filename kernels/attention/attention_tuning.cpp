#include "attention/attention_tuning.h"

#include <array>
#include <string>

#include "runtime/check.h"

namespace adze {
namespace {

constexpr std::string_view kTable =
#include "softmax_csv.h"  // softmax.csv as a string (kernels/CMakeLists.txt)
    ;
constexpr std::string_view kHeader = "arch,cache,head_dim_qk,rows,softmax";

constexpr size_t kColumns = 5;
using Row = std::array<std::string_view, kColumns>;

// What comes before the separator, which goes too.
std::string_view take(std::string_view& text, char separator) {
    const size_t length = text.find(separator);
    const std::string_view taken = text.substr(0, length);
    text.remove_prefix(length == std::string_view::npos ? text.size() : length + 1);
    return taken;
}

Row split(std::string_view line) {
    const std::string_view whole = line;
    Row row;
    for (std::string_view& cell : row) cell = take(line, ',');
    if (line.empty() && (row.back() == "stable" || row.back() == "unified")) return row;
    fail(ADZE_ERROR_INTERNAL, "softmax.csv: no row of the table: %s", std::string(whole).c_str());
}

const char* name_of(Arch arch) {
    switch (arch) {
        case Arch::kSm80:
            return "sm_80";
        case Arch::kSm89:
            return "sm_89";
        case Arch::kSm90a:
            return "sm_90a";
        case Arch::kGfx90a:
            return "gfx90a";
    }
    return "";
}

bool fits(const Row& row, const std::array<std::string, kColumns - 1>& wanted) {
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (row[i] != "*" && row[i] != wanted[i]) return false;
    }
    return true;
}

}  // namespace

adze_softmax tuned_softmax(const SoftmaxCase& c, std::string_view table) {
    const std::array<std::string, kColumns - 1> wanted{name_of(c.arch), dtype_name(c.cache),
                                                       std::to_string(c.head_dim_qk), std::to_string(c.rows)};
    while (!table.empty()) {
        const std::string_view line = take(table, '\n');
        if (line.empty() || line.front() == '#' || line == kHeader) continue;
        const Row row = split(line);
        if (fits(row, wanted)) return row.back() == "unified" ? ADZE_SOFTMAX_UNIFIED : ADZE_SOFTMAX_STABLE;
    }
    fail(ADZE_ERROR_INTERNAL, "softmax.csv: no row fits %s, %s, head_dim_qk %d", wanted[0].c_str(), wanted[1].c_str(),
         c.head_dim_qk);
}

adze_softmax tuned_softmax(const SoftmaxCase& c) {
    return tuned_softmax(c, kTable);
}

}  // namespace adze
