// Losses and their gradients. A gradient is scaled by that of the loss on the GPU, so that the processor need not wait
// for it. Stacked runs lie behind each other, and each is a row of the grid's second axis.
#pragma once

#include "target.h"

// The other view of the item in `row`.
DEVICE int partner(int row, int rows) { return (row + rows / 2) % rows; }

// The largest similarity of `row` to another one, and the sum of exp(similarity − largest) over the others.
struct Total {
    float largest, sum;
};

DEVICE Total total(const float* x, int row, int rows) {
    float largest = -INFINITY, sum = 0.0f;
    for (int i = threadIdx.x; i < rows; i += blockDim.x)
        if (i != row) largest = fmaxf(largest, x[i]);
    largest = block_max(largest);
    for (int i = threadIdx.x; i < rows; i += blockDim.x)
        if (i != row) sum += expf(x[i] - largest);
    return {largest, block_sum(sum)};
}

// The loss of every row of similarities `(runs, rows, rows)`, a block each.
KERNEL nt_xent_f32(const float* x, float* losses, int rows) {
    int row = blockIdx.x, run = blockIdx.y;
    x += ((long long)run * rows + row) * rows;
    Total t = total(x, row, rows);
    if (threadIdx.x == 0) losses[run * rows + row] = t.largest + logf(t.sum) - x[partner(row, rows)];
}
EXPORT(nt_xent_f32)

KERNEL nt_xent_gradient_f32(const float* x, const float* dy, float* dx, int rows) {
    int row = blockIdx.x, run = blockIdx.y;
    x += ((long long)run * rows + row) * rows;
    dx += ((long long)run * rows + row) * rows;
    Total t = total(x, row, rows);
    float scale = dy[run] / rows, share = scale / t.sum;
    for (int i = threadIdx.x; i < rows; i += blockDim.x) {
        float gradient = i == row ? 0.0f : share * expf(x[i] - t.largest);
        dx[i] = i == partner(row, rows) ? gradient - scale : gradient;
    }
}
EXPORT(nt_xent_gradient_f32)

// The sum of a run's `len` values times `scale`, by one block.
KERNEL sum_f32(const float* x, float* y, unsigned len, float scale) {
    float sum = 0.0f;
    x += (long long)blockIdx.y * len;
    for (unsigned i = threadIdx.x; i < len; i += blockDim.x) sum += x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[blockIdx.y] = scale * sum;
}
EXPORT(sum_f32)

const float EPSILON = 1e-8f;

// The terms of the divergence between a run's `len` Bernoulli variables, summed by each block over a part.
KERNEL bernoulli_kl_f32(const float* p, const float* q, float* sums, unsigned len, float scale) {
    float sum = 0.0f;
    p += (long long)blockIdx.y * len;
    q += (long long)blockIdx.y * len;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < len; i += gridDim.x * blockDim.x) {
        float p1 = p[i] + EPSILON, p0 = 1.0f - p[i] + EPSILON, q1 = q[i] + EPSILON, q0 = 1.0f - q[i] + EPSILON;
        sum += p[i] * (logf(p1) - logf(q1)) + (1.0f - p[i]) * (logf(p0) - logf(q0));
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = scale * sum;
}
EXPORT(bernoulli_kl_f32)

// The gradients of p, and of q if its address is not null.
KERNEL bernoulli_kl_gradient_f32(const float* p, const float* q, const float* dy, float* dp, float* dq, unsigned len,
                                 float scale) {
    long long first = (long long)blockIdx.y * len;
    p += first;
    q += first;
    dp += first;
    if (dq) dq += first;
    scale *= dy[blockIdx.y];
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < len; i += gridDim.x * blockDim.x) {
        float p1 = p[i] + EPSILON, p0 = 1.0f - p[i] + EPSILON, q1 = q[i] + EPSILON, q0 = 1.0f - q[i] + EPSILON;
        dp[i] = scale * (logf(p1) - logf(q1) - logf(p0) + logf(q0) + p[i] / p1 - (1.0f - p[i]) / p0);
        if (dq) dq[i] = scale * ((1.0f - p[i]) / q0 - p[i] / q1);
    }
}
EXPORT(bernoulli_kl_gradient_f32)
