#include "kit.h"

#include <fstream>

namespace adze::sim {

std::ostream& operator<<(std::ostream& out, const sim::Counters& c) {
    return out << "read " << c.global_read_bytes << " B in " << c.global_read_sectors << " sectors, written "
               << c.global_write_bytes << " B in " << c.global_write_sectors << ", requests " << c.global_requests
               << ", shared " << c.shared_requests << " with conflicts " << c.shared_bank_conflicts << ", barriers "
               << c.block_barriers << " and " << c.warp_barriers << ", copied " << c.async_copy_bytes;
}

}  // namespace adze::sim

namespace sim_test {
namespace {

using adze::sim::Turns;

std::vector<Way> ways(const std::vector<int>& host_threads) {
    std::vector<Way> out;
    for (int threads : host_threads) {
        for (int resident : {1, 4}) {
            for (const auto& [turns, seed] : {std::pair{Turns::kForward, 1u},
                                              {Turns::kReverse, 1u},
                                              {Turns::kShuffled, 1u},
                                              {Turns::kShuffled, 2u},
                                              {Turns::kShuffled, 3u}}) {
                out.push_back({{.turns = turns, .seed = seed, .resident = resident, .patience_ms = 100}, threads});
            }
        }
    }
    return out;
}

int index_of(adze::Arch arch) {
    for (int i = 0; i < adze::sim::kNumDevices; ++i) {
        if (adze::sim::sim_device(i).arch == arch) return i;
    }
    return -1;
}

}  // namespace

std::string Way::name() const {
    const std::string turns = options.turns == Turns::kForward   ? "forward"
                              : options.turns == Turns::kReverse ? "reverse"
                                                                 : "shuffled:" + std::to_string(options.seed);
    return turns + ", " + std::to_string(options.resident) + " resident, " + std::to_string(host_threads) + " threads";
}

const std::vector<Way>& every_way() {
    static const std::vector<Way> out = ways({1});
    return out;
}

const std::vector<Way>& every_way_and_threads() {
    static const std::vector<Way> out = ways({1, 3});
    return out;
}

Outcome outcome_of(const std::function<void()>& launch) {
    try {
        launch();
        return {};
    } catch (const adze::Failure& failure) {
        return {failure.status, failure.message};
    }
}

Machine::Machine(adze::Arch arch, const Way& way)
    : context_(adze::sim::sim_device(index_of(arch)), way.host_threads), stream_(context_) {
    context_.options = way.options;
}

std::string place(const char* file, const std::string& mark) {
    const std::string path = file, ending = "// @" + mark;
    std::ifstream in(path);
    int number = 1;
    for (std::string line; std::getline(in, line); ++number) {
        if (line.ends_with(ending)) return path.substr(path.rfind('/') + 1) + ":" + std::to_string(number);
    }
    ADD_FAILURE() << "no line of " << path << " ends with " << ending;
    return "?";
}

void expect_in(const std::string& message, const std::vector<std::string>& parts, const std::string& where) {
    for (const std::string& part : parts) {
        EXPECT_NE(message.find(part), std::string::npos)
            << where << ": the message lacks \"" << part << "\": " << message;
    }
}

}  // namespace sim_test

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
