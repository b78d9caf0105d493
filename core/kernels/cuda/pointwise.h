// Operations on elements, and sums of columns.
#pragma once

#include "target.h"

// Calls f with every number below `count`, which is less than 2^31, on all threads of the grid.
template <class F>
DEVICE void each_of(unsigned count, F f) {
    unsigned step = gridDim.x * blockDim.x;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) f(i);
}

DEVICE float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

template <class T>
DEVICE void gelu(const T* x, T* y, unsigned len) {
    const int V = Pack<T>::LEN;
    unsigned packs = aligned(x) && aligned(y) ? len / V : 0;
    each_of(packs, [=](unsigned i) {
        Pack<T> pack = load(x + (long long)i * V);
#pragma unroll
        for (int j = 0; j < V; j++) put(pack.at[j], gelu(widen(pack.at[j])));
        store(y + (long long)i * V, pack);
    });
    each_of(len - packs * V, [=](unsigned i) { put(y[packs * V + i], gelu(widen(x[packs * V + i]))); });
}

// Adds a bias to every row of `y`, and a residual to all of it, if they are not null, and clamps the sum.
template <class T>
DEVICE void finish(T* y, const T* bias, const T* residual, unsigned rows, unsigned cols, float low, float high) {
    const int V = Pack<T>::LEN;
    if (cols % V == 0 && aligned(y) && aligned(bias) && aligned(residual)) {
        unsigned width = cols / V;
        each_of(rows * width, [=](unsigned i) {
            Pack<T> sum = load(y + (long long)i * V), b, r;
            if (bias) b = load(bias + i % width * V);
            if (residual) r = load(residual + (long long)i * V);
#pragma unroll
            for (int j = 0; j < V; j++) {
                float x = widen(sum.at[j]);
                if (bias) x += widen(b.at[j]);
                if (residual) x += widen(r.at[j]);
                put(sum.at[j], clamp(x, low, high));
            }
            store(y + (long long)i * V, sum);
        });
        return;
    }
    each_of(rows * cols, [=](unsigned i) {
        float x = widen(y[i]);
        if (bias) x += widen(bias[i % cols]);
        if (residual) x += widen(residual[i]);
        put(y[i], clamp(x, low, high));
    });
}

// The gradient before an activation that clamps, whose value is `y`: 0 where that was clamped.
KERNEL before_f32(const float* y, const float* dy, float* dx, unsigned len, float low, float high) {
    each_of(len, [=](unsigned i) { dx[i] = y[i] <= low || y[i] >= high ? 0.0f : dy[i]; });
}
EXPORT(before_f32)

// Sums of the columns of a matrix: 8 warps of a block take 32 columns, each warp every eighth row.
KERNEL column_sums_f32(const float* x, float* sums, unsigned rows, unsigned cols) {
    const int WARPS = 8;
    __shared__ float parts[WARPS][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    unsigned column = blockIdx.x * WARP + lane;
    float sum = 0.0f;
    if (column < cols)
        for (unsigned row = warp; row < rows; row += WARPS) sum += x[(long long)row * cols + column];
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < cols) {
        for (int i = 1; i < WARPS; i++) sum += parts[i][lane];
        sums[column] = sum;
    }
}
EXPORT(column_sums_f32)

#define POINTWISE(name, T)                                                                                        \
    KERNEL gelu_##name(const T* x, T* y, unsigned len) { gelu(x, y, len); }                                      \
    EXPORT(gelu_##name)                                                                                           \
    KERNEL finish_##name(T* y, const T* bias, const T* residual, unsigned rows, unsigned cols, float low,             \
                         float high) {                                                                            \
        finish(y, bias, residual, rows, cols, low, high);                                                         \
    }                                                                                                             \
    EXPORT(finish_##name)
POINTWISE(f32, float)
POINTWISE(bf16, bf16)
