// An emulated GPU for testing kernels with a C++ compiler.
//
// A block's threads are fibers of one thread of the processor, which run in turns, each until it ends or waits for
// others. A thread that ends, or waits elsewhere, while others of its warp or block wait for it is an error here, as it
// would be undefined on a GPU.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#define DEVICE static inline
#define KERNEL static void
#define __shared__ static thread_local

struct Position {
    unsigned x, y, z;
};
static thread_local Position threadIdx, blockIdx, blockDim, gridDim;

struct bf16 {
    uint16_t bits;
};
static inline float widen(bf16 x) {
    uint32_t bits = uint32_t(x.bits) << 16;
    float wide;
    memcpy(&wide, &bits, 4);
    return wide;
}
// Rounds to the nearest, ties to even.
static inline bf16 round_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x) return {0x7fff};
    return {uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

namespace host {

enum State { READY, WARP_WAITS, BLOCK_WAITS, DONE };
const size_t STACK = 64 * 1024;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    State state;
};

struct Block {
    std::vector<Fiber> fibers;
    ucontext_t scheduler;
    unsigned current;
    float slots[1024];
    void (*body)(void*);
    void* argument;
};
static thread_local Block block;

[[noreturn]] static inline void fail(const char* why) {
    fprintf(stderr, "emulated GPU: %s\n", why);
    abort();
}

static void enter() {
    block.body(block.argument);
    block.fibers[block.current].state = DONE;
}

static inline void wait(State state) {
    Fiber& fiber = block.fibers[block.current];
    fiber.state = state;
    swapcontext(&fiber.context, &block.scheduler);
}

// Resumes the fibers first..end if all of them wait like this; returns whether it did.
static inline bool release(unsigned first, unsigned end, State state) {
    for (unsigned i = first; i < end; i++)
        if (block.fibers[i].state != state) return false;
    for (unsigned i = first; i < end; i++) block.fibers[i].state = READY;
    return true;
}

// Runs all threads of the current block to their end.
static inline void run_block(unsigned threads) {
    if (block.fibers.size() < threads) block.fibers.resize(threads);
    for (unsigned i = 0; i < threads; i++) {
        Fiber& fiber = block.fibers[i];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = &block.scheduler;
        makecontext(&fiber.context, enter, 0);
        fiber.state = READY;
    }
    for (bool progress = true; progress;) {
        progress = false;
        for (unsigned i = 0; i < threads; i++) {
            if (block.fibers[i].state != READY) continue;
            block.current = i;
            threadIdx = {i, 0, 0};
            swapcontext(&block.scheduler, &block.fibers[i].context);
            progress = true;
        }
        for (unsigned i = 0; i < threads; i += 32) progress |= release(i, i + 32 < threads ? i + 32 : threads, WARP_WAITS);
        progress |= release(0, threads, BLOCK_WAITS);
    }
    for (unsigned i = 0; i < threads; i++)
        if (block.fibers[i].state != DONE) fail("a thread waits for one that has ended or waits elsewhere");
}

template <class Call>
static void run(const unsigned* grid, unsigned threads, Call call) {
    if (threads == 0 || threads > 1024 || grid[0] * grid[1] * grid[2] == 0) fail("a launch of no thread or too many");
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    block.body = [](void* call) { (*static_cast<Call*>(call))(); };
    block.argument = &call;
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) run_block(threads);
}

// Calls a kernel with arguments in the form of the driver: a pointer to each.
template <class... A, size_t... I>
static void launch(void (*kernel)(A...), const unsigned* grid, unsigned threads, void** args, std::index_sequence<I...>) {
    run(grid, threads, [&] { kernel(*static_cast<A*>(args[I])...); });
}

template <class... A>
static void launch(void (*kernel)(A...), const unsigned* grid, unsigned threads, unsigned count, void** args) {
    if (count != sizeof...(A)) fail("a launch with another number of arguments than the kernel has");
    launch(kernel, grid, threads, args, std::index_sequence_for<A...>());
}

}  // namespace host

static inline void __syncthreads() { host::wait(host::BLOCK_WAITS); }

static inline float __shfl_xor_sync(unsigned, float x, int lane) {
    host::block.slots[threadIdx.x] = x;
    host::wait(host::WARP_WAITS);
    float other = host::block.slots[threadIdx.x ^ lane];
    host::wait(host::WARP_WAITS);
    return other;
}

#define EXPORT(name)                                                                                     \
    extern "C" void launch_##name(const unsigned* grid, unsigned threads, unsigned count, void** args) { \
        host::launch(name, grid, threads, count, args);                                                  \
    }
