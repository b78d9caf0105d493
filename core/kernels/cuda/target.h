// Language of the kernels: CUDA if nvcc compiles them, else the same names for an emulated GPU (host.h).
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void
#define EXPORT(name)
typedef __nv_bfloat16 bf16;
DEVICE float widen(bf16 x) { return __bfloat162float(x); }
DEVICE bf16 round_to_bf16(float x) { return __float2bfloat16_rn(x); }
#else
#include "host.h"
#endif

DEVICE float widen(float x) { return x; }

// Rounds `x` to the type of an element.
DEVICE void put(float& to, float x) { to = x; }
DEVICE void put(bf16& to, float x) { to = round_to_bf16(x); }

// Elements that one instruction loads or stores: 16 bytes.
template <class T>
struct alignas(16) Pack {
    static const int LEN = 16 / sizeof(T);
    T at[LEN];
};

template <class T>
DEVICE Pack<T> load(const T* from) {
    return *reinterpret_cast<const Pack<T>*>(from);
}

template <class T>
DEVICE void store(T* to, const Pack<T>& pack) {
    *reinterpret_cast<Pack<T>*>(to) = pack;
}

template <class T>
DEVICE bool aligned(const T* p) {
    return reinterpret_cast<unsigned long long>(p) % 16 == 0;
}

// max(low, min(high, x)) which keeps a NaN.
DEVICE float clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

const int WARP = 32;
const unsigned ALL = 0xffffffffu;

// Every thread of a warp gets the sum over the warp.
DEVICE float warp_sum(float x) {
    for (int lane = WARP / 2; lane > 0; lane /= 2) x += __shfl_xor_sync(ALL, x, lane);
    return x;
}

DEVICE float warp_max(float x) {
    for (int lane = WARP / 2; lane > 0; lane /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, lane));
    return x;
}

// Every thread of a block gets the sum over the block, whose size is a multiple of a warp's.
DEVICE float block_sum(float x) {
    __shared__ float parts[WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    x = warp_sum(x);
    __syncthreads();  // all threads have read the result of an earlier call
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? parts[lane] : 0.0f);
}

DEVICE float block_max(float x) {
    __shared__ float parts[WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    x = warp_max(x);
    __syncthreads();
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    return warp_max(lane < warps ? parts[lane] : -INFINITY);
}
