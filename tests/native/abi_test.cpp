// The ABI as the library describes it, as its file exports it, and as the headers declare it: all three agree.
#include <adze/adze.h>
#include <dlfcn.h>
#include <elf.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace {

std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// All headers, comments removed.
const std::string& headers() {
    static const std::string text = [] {
        std::string all;
        for (const auto& entry : std::filesystem::directory_iterator(ADZE_INCLUDE_DIR)) all += read_file(entry.path());
        return std::regex_replace(all, std::regex(R"(/\*[^*]*\*+([^/*][^*]*\*+)*/)"), " ");
    }();
    return text;
}

std::set<std::string> all_matches(const std::string& text, const std::string& pattern) {
    std::set<std::string> out;
    const std::regex regex(pattern);
    for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) out.insert((*it)[1]);
    return out;
}

struct Field {
    std::string name;
    size_t offset, size;
};
struct Layout {
    std::map<std::string, size_t> structs;
    std::map<std::string, std::vector<Field>> fields;
    std::map<std::string, int64_t> values;
};

Layout parse_layout() {
    Layout out;
    std::istringstream in(adze_abi_layout());
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::string kind, name;
        words >> kind >> name;
        if (kind == "struct") {
            EXPECT_TRUE(bool(words >> out.structs[name])) << line;
        } else if (kind == "field") {
            const size_t dot = name.find('.');
            Field field{name.substr(dot + 1), 0, 0};
            EXPECT_TRUE(dot != std::string::npos && words >> field.offset >> field.size) << line;
            out.fields[name.substr(0, dot)].push_back(field);
        } else {
            EXPECT_EQ(kind, "value") << line;
            EXPECT_TRUE(bool(words >> out.values[name])) << line;
        }
        EXPECT_FALSE(words >> name) << "more than expected: " << line;
    }
    return out;
}

TEST(Abi, StructsAreWithoutHolesAndComplete) {
    const Layout layout = parse_layout();
    for (const auto& [name, size] : layout.structs) {
        size_t end = 0;
        for (const Field& field : layout.fields.at(name)) {
            EXPECT_EQ(field.offset, end) << name << '.' << field.name << ": padding differs between compilers";
            end = field.offset + field.size;
        }
        EXPECT_EQ(end, size) << name;
    }
    for (const auto& [name, fields] : layout.fields) EXPECT_TRUE(layout.structs.count(name)) << name;
}

TEST(Abi, EveryStructOfTheHeadersIsThereWithEveryField) {
    const Layout layout = parse_layout();
    std::set<std::string> names;
    for (const auto& [name, size] : layout.structs) names.insert(name);
    EXPECT_EQ(names, all_matches(headers(), R"(typedef struct (adze_\w+)\s*\{)"));
    for (const std::string& name : names) {
        std::smatch body;
        ASSERT_TRUE(std::regex_search(headers(), body, std::regex("typedef struct " + name + R"(\s*\{([^}]*)\})")));
        std::vector<std::string> declared, listed;
        const std::string text = body[1];
        const std::regex member(R"((\w+)\s*;)");
        for (std::sregex_iterator it(text.begin(), text.end(), member), end; it != end; ++it)
            declared.push_back((*it)[1]);
        for (const Field& field : layout.fields.at(name)) listed.push_back(field.name);
        EXPECT_EQ(listed, declared) << name;
    }
}

TEST(Abi, SizesAreThisCompilers) {
    const Layout layout = parse_layout();
#define ADZE_SAME_SIZE(type) EXPECT_EQ(layout.structs.at(#type), sizeof(type))
    ADZE_SAME_SIZE(adze_tensor);
    ADZE_SAME_SIZE(adze_context_desc);
    ADZE_SAME_SIZE(adze_device_info);
    ADZE_SAME_SIZE(adze_weight_desc);
    ADZE_SAME_SIZE(adze_linear_desc);
    ADZE_SAME_SIZE(adze_kv_cache);
    ADZE_SAME_SIZE(adze_attention_plan_desc);
    ADZE_SAME_SIZE(adze_attention_batch);
    ADZE_SAME_SIZE(adze_attention_desc);
    ADZE_SAME_SIZE(adze_attention_merge_desc);
    ADZE_SAME_SIZE(adze_kv_append_desc);
    ADZE_SAME_SIZE(adze_embedding_desc);
    ADZE_SAME_SIZE(adze_rms_norm_desc);
    ADZE_SAME_SIZE(adze_rope_desc);
    ADZE_SAME_SIZE(adze_rope_frequencies_desc);
    ADZE_SAME_SIZE(adze_silu_gate_desc);
    ADZE_SAME_SIZE(adze_sampling_params);
    ADZE_SAME_SIZE(adze_sampling_desc);
    ADZE_SAME_SIZE(adze_sim_launch);
#undef ADZE_SAME_SIZE
    // Descriptors begin with their size.
    for (const auto& [name, fields] : layout.fields) {
        const bool plain = name == "adze_tensor" || name == "adze_kv_cache" || name == "adze_sampling_params";
        EXPECT_EQ(fields[0].name == "struct_size" && fields[0].size == 4, !plain) << name;
    }
}

TEST(Abi, EveryConstantOfTheHeadersIsThereWithItsValue) {
    const Layout layout = parse_layout();
    std::map<std::string, int64_t> declared;
    const std::regex constant(R"((?:#define\s+)?\b(ADZE_[A-Z0-9_]+)(?:\s*=\s*|\s+)(0x[0-9a-f]+|[0-9]+)u?\b)");
    for (std::sregex_iterator it(headers().begin(), headers().end(), constant), end; it != end; ++it) {
        declared[(*it)[1]] = std::stoll((*it)[2], nullptr, 0);
    }
    EXPECT_GT(declared.size(), 25u);
    for (const auto& [name, value] : declared) {
        const auto found = layout.values.find(name);
        if (found == layout.values.end()) {
            ADD_FAILURE() << name << " is not in adze_abi_layout()";
        } else {
            EXPECT_EQ(found->second, value) << name;
        }
    }
    for (const auto& [name, value] : layout.values) EXPECT_TRUE(declared.count(name)) << name << " is in no header";
}

/// Defined, dynamic, visible symbols of an ELF file.
std::set<std::string> exports(const std::string& path) {
    const std::string file = read_file(path);
    const auto at = [&]<class T>(size_t offset, T) {
        T out;
        std::memcpy(&out, file.data() + offset, sizeof out);
        return out;
    };
    const auto header = at(0, Elf64_Ehdr{});
    const auto section = [&](size_t i) { return at(header.e_shoff + i * header.e_shentsize, Elf64_Shdr{}); };
    std::set<std::string> out;
    for (size_t i = 0; i < header.e_shnum; ++i) {
        const Elf64_Shdr symbols = section(i);
        if (symbols.sh_type != SHT_DYNSYM) continue;
        const Elf64_Shdr names = section(symbols.sh_link);
        for (size_t offset = 0; offset < symbols.sh_size; offset += symbols.sh_entsize) {
            const auto symbol = at(symbols.sh_offset + offset, Elf64_Sym{});
            if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL) continue;
            out.insert(file.c_str() + names.sh_offset + symbol.st_name);
        }
    }
    return out;
}

TEST(Abi, ExportsAreTheHeadersFunctionsAndNothingElse) {
    Dl_info info;
    ASSERT_NE(dladdr(reinterpret_cast<void*>(&adze_version), &info), 0);
    ASSERT_NE(std::string(info.dli_fname).find("libadze"), std::string::npos) << info.dli_fname;
    const auto declared = all_matches(headers(), R"(ADZE_API\s+[\w\s\*]*?\b(adze_\w+)\s*\()");
    EXPECT_GT(declared.size(), 40u);
    EXPECT_EQ(exports(info.dli_fname), declared);
}

}  // namespace
