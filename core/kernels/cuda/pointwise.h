// Operations on elements, and sums of columns.
#pragma once

#include "target.h"

// Calls f with every number below `count`, which is less than 2^31, on all threads of the grid.
template <class F>
DEVICE void each_of(unsigned count, F f) {
    unsigned step = gridDim.x * blockDim.x;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) f(i);
}

// The forms of `transformer::Gelu`, in its order: exact, by tanh, by the logistic function.
DEVICE float gelu(float x, unsigned form) {
    if (form == 0) return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    if (form == 1) return 0.5f * x * (1.0f + tanhf(0.79788456f * x * (1.0f + 0.044715f * x * x)));
    return x / (1.0f + expf(-1.702f * x));
}

// The Gaussian error linear unit of `x` and a bias that is added to every row, if it is not null; `y` may be `x`.
template <class T>
DEVICE void gelu(const T* x, T* y, const T* bias, unsigned rows, unsigned cols, unsigned form) {
    const int V = Pack<T>::LEN;
    if (cols % V == 0 && aligned(x) && aligned(y) && aligned(bias)) {
        unsigned width = cols / V;
        each_of(rows * width, [=](unsigned i) {
            Pack<T> pack = load(x + (long long)i * V), b;
            if (bias) b = load(bias + i % width * V);
#pragma unroll
            for (int j = 0; j < V; j++)
                put(pack.at[j], gelu(widen(pack.at[j]) + (bias ? widen(b.at[j]) : 0.0f), form));
            store(y + (long long)i * V, pack);
        });
        return;
    }
    each_of(rows * cols, [=](unsigned i) {
        put(y[i], gelu(widen(x[i]) + (bias ? widen(bias[i % cols]) : 0.0f), form));
    });
}

// Adds a bias to every row of `x`, and a residual to all of it, if they are not null, and clamps the sum; `y` may be `x`.
template <class T>
DEVICE void finish(const T* x, T* y, const T* bias, const T* residual, unsigned rows, unsigned cols, float low,
                   float high) {
    const int V = Pack<T>::LEN;
    if (cols % V == 0 && aligned(x) && aligned(y) && aligned(bias) && aligned(residual)) {
        unsigned width = cols / V;
        each_of(rows * width, [=](unsigned i) {
            Pack<T> sum = load(x + (long long)i * V), b, r;
            if (bias) b = load(bias + i % width * V);
            if (residual) r = load(residual + (long long)i * V);
#pragma unroll
            for (int j = 0; j < V; j++) {
                float value = widen(sum.at[j]);
                if (bias) value += widen(b.at[j]);
                if (residual) value += widen(r.at[j]);
                put(sum.at[j], clamp(value, low, high));
            }
            store(y + (long long)i * V, sum);
        });
        return;
    }
    each_of(rows * cols, [=](unsigned i) {
        float value = widen(x[i]);
        if (bias) value += widen(bias[i % cols]);
        if (residual) value += widen(residual[i]);
        put(y[i], clamp(value, low, high));
    });
}

// A norm of constant moments as factors and summands per channel, `x · scale + shift`.
KERNEL norm_factors_f32(const float* mean, const float* variance, const float* weight, const float* bias, float eps,
                        float* scale, float* shift, unsigned channels) {
    each_of(channels, [=](unsigned i) {
        scale[i] = weight[i] / sqrtf(variance[i] + eps);
        shift[i] = bias[i] - mean[i] * scale[i];
    });
}
EXPORT(norm_factors_f32)

// Scales and shifts every row of `y` and clamps it.
template <class T>
DEVICE void norm(T* y, const float* scale, const float* shift, unsigned rows, unsigned cols, float low, float high) {
    const int V = Pack<T>::LEN;
    if (cols % V == 0 && aligned(y)) {
        unsigned width = cols / V;
        each_of(rows * width, [=](unsigned i) {
            Pack<T> pack = load(y + (long long)i * V);
            unsigned column = i % width * V;
#pragma unroll
            for (int j = 0; j < V; j++)
                put(pack.at[j], clamp(widen(pack.at[j]) * scale[column + j] + shift[column + j], low, high));
            store(y + (long long)i * V, pack);
        });
        return;
    }
    each_of(rows * cols, [=](unsigned i) {
        put(y[i], clamp(widen(y[i]) * scale[i % cols] + shift[i % cols], low, high));
    });
}

// The gradient before an activation, whose value is `y`: 0 where that was clamped; without limits `y` is not read. With
// a `scale`, it is multiplied by that: the gradient before the norm that the activation follows.
template <class T>
DEVICE void before(const T* y, const T* dy, T* dx, const float* scale, unsigned rows, unsigned cols, float low,
                   float high) {
    const int V = Pack<T>::LEN;
    bool clamps = low > -INFINITY || high < INFINITY;
    if (cols % V == 0 && aligned(y) && aligned(dy) && aligned(dx)) {
        unsigned width = cols / V;
        each_of(rows * width, [=](unsigned i) {
            Pack<T> pack = load(dy + (long long)i * V), value = pack;
            if (clamps) value = load(y + (long long)i * V);
            unsigned column = i % width * V;
#pragma unroll
            for (int j = 0; j < V; j++) {
                float at = widen(value.at[j]), gradient = widen(pack.at[j]);
                if (clamps && (at <= low || at >= high)) gradient = 0.0f;
                put(pack.at[j], scale ? gradient * scale[column + j] : gradient);
            }
            store(dx + (long long)i * V, pack);
        });
        return;
    }
    each_of(rows * cols, [=](unsigned i) {
        float gradient = widen(dy[i]);
        if (clamps && (widen(y[i]) <= low || widen(y[i]) >= high)) gradient = 0.0f;
        put(dx[i], scale ? gradient * scale[i % cols] : gradient);
    });
}

// Sums of the columns of a matrix in f32: the blocks of a row of the grid sum a part of the rows, to a row of `sums`. 8
// warps of a block take 32 columns, each warp every eighth row.
template <class T>
DEVICE void column_sums(const T* x, float* sums, unsigned rows, unsigned cols) {
    const int WARPS = 8;
    __shared__ float parts[WARPS][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    unsigned column = blockIdx.x * WARP + lane;
    unsigned part = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * part;
    unsigned end = first + part < rows ? first + part : rows;
    float sum = 0.0f;
    if (column < cols)
        for (unsigned row = first + warp; row < end; row += WARPS) sum += widen(x[(long long)row * cols + column]);
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < cols) {
        for (int i = 1; i < WARPS; i++) sum += parts[i][lane];
        sums[(long long)blockIdx.y * cols + column] = sum;
    }
}

#define POINTWISE(name, T)                                                                                            \
    KERNEL gelu_##name(const T* x, T* y, const T* bias, unsigned rows, unsigned cols, unsigned form) {                \
        gelu(x, y, bias, rows, cols, form);                                                                           \
    }                                                                                                                 \
    EXPORT(gelu_##name)                                                                                               \
    KERNEL finish_##name(const T* x, T* y, const T* bias, const T* residual, unsigned rows, unsigned cols, float low, \
                         float high) {                                                                                \
        finish(x, y, bias, residual, rows, cols, low, high);                                                          \
    }                                                                                                                 \
    EXPORT(finish_##name)                                                                                             \
    KERNEL norm_##name(T* y, const float* scale, const float* shift, unsigned rows, unsigned cols, float low,         \
                       float high) {                                                                                  \
        norm(y, scale, shift, rows, cols, low, high);                                                                 \
    }                                                                                                                 \
    EXPORT(norm_##name)                                                                                               \
    KERNEL before_##name(const T* y, const T* dy, T* dx, const float* scale, unsigned rows, unsigned cols, float low, \
                         float high) {                                                                                \
        before(y, dy, dx, scale, rows, cols, low, high);                                                              \
    }                                                                                                                 \
    EXPORT(before_##name)                                                                                             \
    KERNEL column_sums_##name(const T* x, float* sums, unsigned rows, unsigned cols) {                                \
        column_sums(x, sums, rows, cols);                                                                             \
    }                                                                                                                 \
    EXPORT(column_sums_##name)
POINTWISE(f32, float)
POINTWISE(bf16, bf16)
