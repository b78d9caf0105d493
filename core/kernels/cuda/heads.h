// Queries, keys and values by heads, for products of matrices.
//
// Sequences of `len` tokens are padded with zeros to `room` tokens, a multiple of a pack of 16 bytes: matrix products
// are fast on rows that begin at packs.
#pragma once

#include "target.h"

struct Heads {
    unsigned sequences, len, room, heads, width;  // columns of a head
};

// A pack of V columns of a token in a head.
struct Cell {
    unsigned sequence, head, at, column;
};

template <int V>
DEVICE Cell cell(const Heads& h, unsigned index, unsigned tokens) {
    unsigned packs = h.width / V, token = index / packs / h.heads;
    return {token / tokens, index / packs % h.heads, token % tokens, index % packs * V};
}

DEVICE long long apart(const Heads& h, const Cell& c) {
    return (((long long)c.sequence * h.heads + c.head) * h.room + c.at) * h.width + c.column;
}

template <int V, class T>
DEVICE void copy(const T* from, T* to) {
    if constexpr (V == 1) {
        *to = *from;
    } else {
        store(to, load(from));
    }
}

// Splits heads: `(sequences, len, heads · width)`, rows that begin `stride` elements apart, to
// `(sequences, heads, room, width)`. The blocks' y is the index of one of the three, which lie one after the other.
template <int V, class T>
DEVICE void split_heads(const T* q, const T* k, const T* v, T* out, const Heads& h, unsigned stride_q, unsigned stride_k,
                        unsigned stride_v) {
    unsigned index = blockIdx.x * blockDim.x + threadIdx.x, all = h.sequences * h.room * h.heads * h.width;
    if (index >= all / V) return;
    unsigned which = blockIdx.y, stride = which == 0 ? stride_q : which == 1 ? stride_k : stride_v;
    Cell c = cell<V>(h, index, h.room);
    T* to = out + (long long)which * all + apart(h, c);
    if (c.at >= h.len) {
        for (int i = 0; i < V; i++) put(to[i], 0.0f);
        return;
    }
    const T* from = which == 0 ? q : which == 1 ? k : v;
    copy<V>(from + ((long long)c.sequence * h.len + c.at) * stride + c.head * h.width + c.column, to);
}

// Merges heads, `(sequences, heads, room, width)` to `(sequences, len, heads · width)`.
template <int V, class T>
DEVICE void merge_heads(const T* x, T* y, const Heads& h) {
    unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < h.sequences * h.len * h.heads * h.width / V)
        copy<V>(x + apart(h, cell<V>(h, index, h.len)), y + (long long)index * V);
}

#define HEADS(name, T, V)                                                                                        \
    KERNEL split_heads_##name(const T* q, const T* k, const T* v, T* out, Heads h, unsigned stride_q,            \
                              unsigned stride_k, unsigned stride_v) {                                            \
        split_heads<V>(q, k, v, out, h, stride_q, stride_k, stride_v);                                           \
    }                                                                                                            \
    EXPORT(split_heads_##name)                                                                                   \
    KERNEL merge_heads_##name(const T* x, T* y, Heads h) { merge_heads<V>(x, y, h); }                            \
    EXPORT(merge_heads_##name)
HEADS(f32, float, 4)
HEADS(bf16, bf16, 8)
HEADS(narrow_f32, float, 1)
HEADS(narrow_bf16, bf16, 1)
