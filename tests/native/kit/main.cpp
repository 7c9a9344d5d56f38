// Runs the tests, and says with every failure how to repeat it.
#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "kit/random.h"

namespace {

void print_repeat(FILE* out, const char* suite, const char* test) {
    std::fprintf(out, "repeat with: ADZE_SEED=%llu %s --gtest_filter=%s.%s\n",
                 static_cast<unsigned long long>(kit::base_seed()), program_invocation_short_name, suite, test);
}

class Repeat : public testing::EmptyTestEventListener {
    void OnTestEnd(const testing::TestInfo& info) override {
        if (info.result()->Failed()) print_repeat(stdout, info.test_suite_name(), info.name());
    }
};

/// A fault is most likely an operator that left its tensor: name the test before the program ends.
void on_fault(int signal, siginfo_t* info, void*) {
    std::fprintf(stderr, "\nsignal %d at address %p: memory outside a tensor was touched\n", signal, info->si_addr);
    if (const auto* test = testing::UnitTest::GetInstance()->current_test_info()) {
        print_repeat(stderr, test->test_suite_name(), test->name());
    }
    _exit(128 + signal);
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    testing::UnitTest::GetInstance()->listeners().Append(new Repeat);
    if (kit::full_sweep()) testing::GTEST_FLAG(also_run_disabled_tests) = true;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) sigaction(signal, &action, nullptr);
    return RUN_ALL_TESTS();
}
