// What the plug-in of owned_plugin.cpp takes for a native stream, and what lies at a reserved buffer's address.
#pragma once

struct OwnedStream {
    bool capturing;      // set by its owner, as cudaStreamBeginCapture would
    int calls;           // that reached the device
    int done;            // of them: an event recorded later has not happened
    int waits;           // of the host, for such events
    int reads;           // device to host
    bool fails;          // whatever is written
    const void* source;  // of the last write
};

struct OwnedRange {
    static constexpr int kGranule = 4096;  // bytes
    alignas(kGranule) bool reserved;
    int granules;  // that have memory
    int waits;     // of the host, for the device, before the last of them came or went
};
