// The switches that a context reads from the environment.
#include <cstdlib>
#include <stdexcept>

#include "kit.h"

namespace options_tests {

using adze::sim::Turns;

class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* old = std::getenv(name)) old_ = old;
        setenv(name, value, 1);
    }
    ~Variable() { old_.empty() ? unsetenv(name_) : setenv(name_, old_.c_str(), 1); }

private:
    const char* name_;
    std::string old_;
};

adze::sim::Options options_with(const char* name, const char* value) {
    const Variable variable(name, value);
    return adze::sim::SimContext(adze::sim::sim_device(0), 1).options;
}

TEST(Options, are_read) {
    EXPECT_EQ(options_with("ADZE_SIM_TURNS", "forward").turns, Turns::kForward);
    EXPECT_EQ(options_with("ADZE_SIM_TURNS", "reverse").turns, Turns::kReverse);
    EXPECT_EQ(options_with("ADZE_SIM_TURNS", "shuffled").turns, Turns::kShuffled);
    EXPECT_EQ(options_with("ADZE_SIM_TURNS", "shuffled:4000000000").seed, 4000000000u);
    EXPECT_EQ(options_with("ADZE_SIM_RESIDENT", "64").resident, 64);
}

// Whoever does not catch a Failure by name, such as a test's runner, still says what is wrong.
void expect_refused(const char* name, const char* value, const std::string& allowed) {
    try {
        options_with(name, value);
        ADD_FAILURE() << name << "=" << value << " was taken";
    } catch (const std::exception& error) {
        EXPECT_EQ(error.what(), std::string(name) + " is " + value + "; allowed is " + allowed);
    }
}

TEST(Options, that_are_unusable_are_refused) {
    for (const char* turns : {"sideways", "", "Forward", "shuffledly", "shuffled:", "shuffled:x", "shuffled:1x",
                              "shuffled:-1", "shuffled:4294967296"})
        expect_refused("ADZE_SIM_TURNS", turns, "forward, reverse, shuffled or shuffled:SEED");
    for (const char* resident : {"0", "65", "", "two", "2x", "-1"})
        expect_refused("ADZE_SIM_RESIDENT", resident, "1 to 64");
}

}  // namespace options_tests
