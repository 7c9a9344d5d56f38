// What the plug-in of owned_plugin.cpp takes for a native stream.
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
