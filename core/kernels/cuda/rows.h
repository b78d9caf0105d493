// Operations on rows: a warp per row.
#pragma once

#include "target.h"

DEVICE int lane() { return threadIdx.x % WARP; }

// The row of this warp.
DEVICE unsigned warp_row() { return blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; }

// Elements of a row that a warp keeps in registers.
const int KEPT = 1024;

template <class T>
DEVICE void layer_norm(const T* x, const T* weight, const T* bias, T* y, unsigned rows, int len, float eps) {
    const int V = Pack<T>::LEN, PACKS = KEPT / WARP / V;
    unsigned row = warp_row();
    if (row >= rows) return;
    x += (long long)row * len;
    y += (long long)row * len;
    float sum = 0.0f, square = 0.0f;
    if (len % V == 0 && len <= KEPT && aligned(x) && aligned(y) && aligned(weight) && aligned(bias)) {
        float kept[PACKS][V];
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            int at = (p * WARP + lane()) * V;
            if (at < len) {
                Pack<T> pack = load(x + at);
#pragma unroll
                for (int i = 0; i < V; i++) sum += kept[p][i] = widen(pack.at[i]);
            }
        }
        float mean = warp_sum(sum) / len;
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            if ((p * WARP + lane()) * V < len) {
#pragma unroll
                for (int i = 0; i < V; i++) square += (kept[p][i] - mean) * (kept[p][i] - mean);
            }
        }
        float inverse = 1.0f / sqrtf(warp_sum(square) / len + eps);
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            int at = (p * WARP + lane()) * V;
            if (at < len) {
                Pack<T> w = load(weight + at), b = load(bias + at), out;
#pragma unroll
                for (int i = 0; i < V; i++)
                    put(out.at[i], (kept[p][i] - mean) * inverse * widen(w.at[i]) + widen(b.at[i]));
                store(y + at, out);
            }
        }
        return;
    }
    for (int i = lane(); i < len; i += WARP) sum += widen(x[i]);
    float mean = warp_sum(sum) / len;
    for (int i = lane(); i < len; i += WARP) square += (widen(x[i]) - mean) * (widen(x[i]) - mean);
    float inverse = 1.0f / sqrtf(warp_sum(square) / len + eps);
    for (int i = lane(); i < len; i += WARP)
        put(y[i], (widen(x[i]) - mean) * inverse * widen(weight[i]) + widen(bias[i]));
}

// Replaces rows by the softmax of `scale` times them; rows of at most N · 32 elements stay in registers. Rows begin
// `stride` elements apart; the elements between them become 0.
template <class T, int N>
DEVICE void short_softmax(T* x, int len, float scale) {
    float kept[N], largest = -INFINITY, sum = 0.0f;
#pragma unroll
    for (int n = 0; n < N; n++) {
        int i = n * WARP + lane();
        kept[n] = i < len ? scale * widen(x[i]) : -INFINITY;
        largest = fmaxf(largest, kept[n]);
    }
    largest = warp_max(largest);
#pragma unroll
    for (int n = 0; n < N; n++) sum += kept[n] = n * WARP + lane() < len ? expf(kept[n] - largest) : 0.0f;
    float inverse = 1.0f / warp_sum(sum);
#pragma unroll
    for (int n = 0; n < N; n++)
        if (n * WARP + lane() < len) put(x[n * WARP + lane()], kept[n] * inverse);
}

template <class T>
DEVICE void softmax(T* x, unsigned rows, int len, int stride, float scale) {
    unsigned row = warp_row();
    if (row >= rows) return;
    x += (long long)row * stride;
    for (int i = len + lane(); i < stride; i += WARP) put(x[i], 0.0f);
    if (len <= 2 * WARP) return short_softmax<T, 2>(x, len, scale);
    if (len <= 8 * WARP) return short_softmax<T, 8>(x, len, scale);
    if (len <= KEPT) return short_softmax<T, KEPT / WARP>(x, len, scale);
    float largest = -INFINITY, sum = 0.0f;
    for (int i = lane(); i < len; i += WARP) largest = fmaxf(largest, scale * widen(x[i]));
    largest = warp_max(largest);
    for (int i = lane(); i < len; i += WARP) sum += expf(scale * widen(x[i]) - largest);
    float inverse = 1.0f / warp_sum(sum);
    for (int i = lane(); i < len; i += WARP) put(x[i], expf(scale * widen(x[i]) - largest) * inverse);
}

#define ROWS(name, T)                                                                                          \
    KERNEL layer_norm_##name(const T* x, const T* w, const T* b, T* y, unsigned rows, int len, float eps) {   \
        layer_norm(x, w, b, y, rows, len, eps);                                                                \
    }                                                                                                          \
    EXPORT(layer_norm_##name)                                                                                  \
    KERNEL softmax_##name(T* x, unsigned rows, int len, int stride, float scale) {                             \
        softmax(x, rows, len, stride, scale);                                                                  \
    }                                                                                                          \
    EXPORT(softmax_##name)
ROWS(f32, float)
ROWS(bf16, bf16)
