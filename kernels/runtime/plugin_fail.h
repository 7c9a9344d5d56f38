// Failures of a plug-in: the same calls as in runtime/check.h, raised by the library that opened it.
#pragma once

#include "runtime/backend.h"

namespace adze {

// Called by the plug-in's open(), before anything can fail.
void set_host(const HostServices& services);

}  // namespace adze
