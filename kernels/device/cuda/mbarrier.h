// PTX ISA, "mbarrier" and "Async proxy".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void mbarrier_init(const Shared<uint64_t>& barriers, int index, int arrivals, Site) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address_of(barriers, index)), "r"(arrivals)
                 : "memory");
}
ADZE_DEVICE void fence_mbarrier_init(Site) {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the copy engine completes bytes on it
}
ADZE_DEVICE void mbarrier_arrive(const Shared<uint64_t>& barriers, int index, Site) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address_of(barriers, index)) : "memory");
}
ADZE_DEVICE void mbarrier_arrive_expect(const Shared<uint64_t>& barriers, int index, uint32_t bytes, Site) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address_of(barriers, index)), "r"(bytes)
                 : "memory");
}
ADZE_DEVICE void mbarrier_wait(const Shared<uint64_t>& barriers, int index, uint32_t parity, Site) {
    uint32_t ended;
    do {  // try_wait sleeps for a while that the hardware chooses
        asm volatile(
            "{\n"
            ".reg .pred p;\n"
            "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
            "selp.b32 %0, 1, 0, p;\n"
            "}"
            : "=r"(ended)
            : "r"(address_of(barriers, index)), "r"(parity)
            : "memory");
    } while (ended == 0);
}
ADZE_DEVICE void fence_async_proxy(Site) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace ADZE_TARGET
}  // namespace adze
