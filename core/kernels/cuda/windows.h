// Windows over channels-last images `(n, h, w, c)`.
#pragma once

#include "target.h"

struct Geometry {
    int h, w, c;            // of the input
    int out_h, out_w;       // of the output
    int kernel_h, kernel_w;
    int stride;
    int top, left;          // padding
};

// An output pixel, and where its window begins in the input.
struct Corner {
    unsigned image;
    int y, x;
};

DEVICE Corner corner(const Geometry& g, unsigned pixel) {
    unsigned row = pixel / g.out_w;
    int x = pixel % g.out_w, y = row % g.out_h;
    return {row / g.out_h, y * g.stride - g.top, x * g.stride - g.left};
}

// The first channel of a window's pixel, or null in the padding.
template <class T>
DEVICE const T* under(const Geometry& g, const T* x, const Corner& corner, int ky, int kx) {
    int row = corner.y + ky, col = corner.x + kx;
    if (row < 0 || row >= g.h || col < 0 || col >= g.w) return nullptr;
    return x + (((long long)corner.image * g.h + row) * g.w + col) * g.c;
}

// The first channel of the output pixel whose window has the input pixel (y, x) under a tap, or null if there is none.
template <class T>
DEVICE const T* over(const Geometry& g, const T* out, unsigned image, int y, int x, int ky, int kx) {
    int row = y + g.top - ky, col = x + g.left - kx;
    if (row < 0 || col < 0 || row % g.stride || col % g.stride) return nullptr;
    row /= g.stride, col /= g.stride;
    if (row >= g.out_h || col >= g.out_w) return nullptr;
    return out + (((long long)image * g.out_h + row) * g.out_w + col) * g.c;
}

// Copies `c` channels from find(tap) for every tap side by side, zeros where that is null, followed by zeros up to
// `stride` elements; by a warp. With `packs`, all addresses begin packs and there are no elements to fill up.
template <class T, class Find>
DEVICE void side_by_side(const Geometry& g, T* to, unsigned stride, bool packs, Find find) {
    const int V = Pack<T>::LEN;
    unsigned lane = threadIdx.x % WARP, len = g.kernel_h * g.kernel_w * g.c;
    if (packs) {
        unsigned width = g.c / V;
        for (unsigned i = lane; i < len / V; i += WARP) {
            const T* from = find(i / width);
            Pack<T> pack;
            if (from) {
                pack = load(from + i % width * V);
            } else {
#pragma unroll
                for (int j = 0; j < V; j++) put(pack.at[j], 0.0f);
            }
            store(to + i * V, pack);
        }
        return;
    }
    for (unsigned i = lane; i < stride; i += WARP) {
        const T* from = i < len ? find(i / g.c) : nullptr;
        if (from) to[i] = from[i % g.c]; else put(to[i], 0.0f);
    }
}

template <class T>
DEVICE bool in_packs(const Geometry& g, const T* from, const T* columns, unsigned stride) {
    bool filled = stride == unsigned(g.kernel_h * g.kernel_w * g.c);
    return g.c % Pack<T>::LEN == 0 && filled && aligned(from) && aligned(columns);
}

// Copies the windows of `pixels` output pixels from number `first` on side by side, `(pixels, kernel_h, kernel_w, c)`,
// each followed by zeros up to `stride` elements. A warp copies a window.
template <class T>
DEVICE void gather(const Geometry& g, const T* x, T* columns, unsigned first, unsigned pixels, unsigned stride) {
    unsigned pixel = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (pixel >= pixels) return;
    Corner at = corner(g, first + pixel);
    side_by_side(g, columns + (long long)pixel * stride, stride, in_packs(g, x, columns, stride),
                 [&](unsigned tap) { return under(g, x, at, tap / g.kernel_w, tap % g.kernel_w); });
}

// The same for input pixels: those output pixels of `out` side by side whose windows have the input pixel under a tap.
// `c` is the number of channels of the output here.
template <class T>
DEVICE void spread(const Geometry& g, const T* out, T* columns, unsigned first, unsigned pixels, unsigned stride) {
    unsigned index = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (index >= pixels) return;
    unsigned pixel = first + index, row = pixel / g.w;
    side_by_side(g, columns + (long long)index * stride, stride, in_packs(g, out, columns, stride), [&](unsigned tap) {
        return over(g, out, row / g.h, row % g.h, pixel % g.w, tap / g.kernel_w, tap % g.kernel_w);
    });
}

// Calls step(window, tap, lane) for all taps within the image and then end() on V channels of an output pixel.
template <int V, class T, class Step, class End>
DEVICE void window(const Geometry& g, const T* x, unsigned pixels, Step step, End end) {
    unsigned width = g.c / V, index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= pixels * width) return;
    unsigned channel = index % width * V, pixel = index / width;
    Corner at = corner(g, pixel);
    for (int ky = 0; ky < g.kernel_h; ky++)
        for (int kx = 0; kx < g.kernel_w; kx++)
            if (const T* from = under(g, x, at, ky, kx)) step(from + channel, ky * g.kernel_w + kx, channel);
    end((long long)pixel * g.c + channel, channel);
}

// V elements from `from` on, in f32.
template <int V, class T>
DEVICE void read(const T* from, float* values) {
    if constexpr (V == 1) {
        values[0] = widen(*from);
    } else {
        Pack<T> pack = load(from);
#pragma unroll
        for (int i = 0; i < V; i++) values[i] = widen(pack.at[i]);
    }
}

template <int V, class T>
DEVICE void write(T* to, const float* values) {
    if constexpr (V == 1) {
        put(*to, values[0]);
    } else {
        Pack<T> pack;
#pragma unroll
        for (int i = 0; i < V; i++) put(pack.at[i], values[i]);
        store(to, pack);
    }
}

// Depthwise convolution, the bias added and the sum clamped; `weight` is `(kernel_h · kernel_w, c)`.
template <int V, class T>
DEVICE void depthwise(const Geometry& g, const T* x, const T* weight, const T* bias, T* y, unsigned pixels, float low,
                      float high) {
    float sums[V];
#pragma unroll
    for (int i = 0; i < V; i++) sums[i] = 0.0f;
    window<V>(
        g, x, pixels,
        [&](const T* from, int tap, unsigned channel) {
            float values[V], weights[V];
            read<V>(from, values);
            read<V>(weight + tap * g.c + channel, weights);
#pragma unroll
            for (int i = 0; i < V; i++) sums[i] += values[i] * weights[i];
        },
        [&](long long at, unsigned channel) {
            float shift[V];
            read<V>(bias + channel, shift);
#pragma unroll
            for (int i = 0; i < V; i++) sums[i] = clamp(sums[i] + shift[i], low, high);
            write<V>(y + at, sums);
        });
}

// The maximum over windows; padding never is the maximum, a NaN always is.
template <int V, class T>
DEVICE void max_pool(const Geometry& g, const T* x, T* y, unsigned pixels) {
    float best[V];
#pragma unroll
    for (int i = 0; i < V; i++) best[i] = -INFINITY;
    window<V>(
        g, x, pixels,
        [&](const T* from, int, unsigned) {
            float values[V];
            read<V>(from, values);
#pragma unroll
            for (int i = 0; i < V; i++) best[i] = best[i] >= values[i] || best[i] != best[i] ? best[i] : values[i];
        },
        [&](long long at, unsigned) { write<V>(y + at, best); });
}

// Means over the pixels of images, `(n, pixels, c)` to `(n, c)`: each of a block's 8 warps takes every eighth pixel of
// 32 channels.
template <class T>
DEVICE void mean_pixels(const T* x, T* y, int pixels, int c) {
    const int WARPS = 8;
    __shared__ float parts[WARPS][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, channel = blockIdx.x * WARP + lane;
    const T* image = x + (long long)blockIdx.y * pixels * c;
    float sum = 0.0f;
    if (channel < c)
        for (int pixel = warp; pixel < pixels; pixel += WARPS) sum += widen(image[(long long)pixel * c + channel]);
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && channel < c) {
        for (int i = 1; i < WARPS; i++) sum += parts[i][lane];
        put(y[(long long)blockIdx.y * c + channel], sum / pixels);
    }
}

#define WINDOWS(name, T)                                                                                            \
    KERNEL gather_##name(Geometry g, const T* x, T* columns, unsigned first, unsigned pixels, unsigned stride) {    \
        gather(g, x, columns, first, pixels, stride);                                                               \
    }                                                                                                               \
    EXPORT(gather_##name)                                                                                           \
    KERNEL spread_##name(Geometry g, const T* out, T* columns, unsigned first, unsigned pixels, unsigned stride) {  \
        spread(g, out, columns, first, pixels, stride);                                                             \
    }                                                                                                               \
    EXPORT(spread_##name)                                                                                           \
    KERNEL depthwise_##name(Geometry g, const T* x, const T* weight, const T* bias, T* y, unsigned pixels,          \
                            float low, float high) {                                                                \
        depthwise<Pack<T>::LEN>(g, x, weight, bias, y, pixels, low, high);                                          \
    }                                                                                                               \
    EXPORT(depthwise_##name)                                                                                        \
    KERNEL narrow_depthwise_##name(Geometry g, const T* x, const T* weight, const T* bias, T* y, unsigned pixels,   \
                                   float low, float high) {                                                         \
        depthwise<1>(g, x, weight, bias, y, pixels, low, high);                                                     \
    }                                                                                                               \
    EXPORT(narrow_depthwise_##name)                                                                                 \
    KERNEL max_pool_##name(Geometry g, const T* x, T* y, unsigned pixels) {                                        \
        max_pool<Pack<T>::LEN>(g, x, y, pixels);                                                                    \
    }                                                                                                               \
    EXPORT(max_pool_##name)                                                                                         \
    KERNEL narrow_max_pool_##name(Geometry g, const T* x, T* y, unsigned pixels) { max_pool<1>(g, x, y, pixels); } \
    EXPORT(narrow_max_pool_##name)                                                                                  \
    KERNEL mean_pixels_##name(const T* x, T* y, int pixels, int c) { mean_pixels(x, y, pixels, c); }                \
    EXPORT(mean_pixels_##name)
WINDOWS(f32, float)
WINDOWS(bf16, bf16)
