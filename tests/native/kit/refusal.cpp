#include "kit/refusal.h"

namespace kit {

testing::AssertionResult refused(adze_status status, adze_status expected, const std::string& function,
                                 const std::string& argument, const std::string& value) {
    const std::string message = adze_last_error();
    if (status != expected) {
        return testing::AssertionFailure()
               << function << " returned " << adze_status_name(status) << " instead of " << adze_status_name(expected)
               << " for " << argument << " = " << value << " (last message: " << message << ")";
    }
    const bool named = message.rfind(function + ": ", 0) == 0 && message.find(argument) != std::string::npos;
    const bool has_value = message.find(value) != std::string::npos;
    // What is allowed follows a semicolon; some refusals say it all.
    bool says_why = expected != ADZE_ERROR_INVALID_ARGUMENT;
    for (const char* reason : {"; ", "NULL", "overlap", "another context", "negative", "exceed"}) {
        says_why = says_why || message.find(reason) != std::string::npos;
    }
    if (named && has_value && says_why && message.find('\n') == std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "\"" << message << "\" should read \"" << function << ": ... " << argument
                                       << " ... " << value << "; what is allowed\"";
}

}  // namespace kit
