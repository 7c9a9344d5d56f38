// What the plug-in of owned_plugin.cpp takes for a native stream.
#pragma once

struct OwnedStream {
    bool capturing;  // set by its owner, as cudaStreamBeginCapture would
    int calls;       // that reached the device
};
