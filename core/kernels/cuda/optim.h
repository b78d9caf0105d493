// Optimizer steps over several parameters in one launch.
#pragma once

#include "target.h"

const int TENSORS = 24;      // parameters of a launch
const int PART = 4096;       // elements of one block

// Parameters of a launch with their gradients and state. The blocks first[i]..first[i + 1] work on parameter i.
struct Group {
    float* p[TENSORS];
    const float* g[TENSORS];
    float* s[TENSORS];
    float* t[TENSORS];
    long long len[TENSORS];
    unsigned first[TENSORS + 1];
};

// A state too small to matter is 0, as on the processor.
DEVICE float or_zero(float x) { return fabsf(x) < 1e-35f ? 0.0f : x; }

template <class Rule>
DEVICE void each(const Group& group, Rule rule) {
    int tensor = 0;
    while (blockIdx.x >= group.first[tensor + 1]) tensor++;
    long long start = (long long)(blockIdx.x - group.first[tensor]) * PART;
    long long end = start + PART < group.len[tensor] ? start + PART : group.len[tensor];
    float *p = group.p[tensor], *s = group.s[tensor], *t = group.t[tensor];
    const float* g = group.g[tensor];
    for (long long i = start + threadIdx.x; i < end; i += blockDim.x) rule(p[i], g[i], s + i, t + i);
}

KERNEL adam(Group group, float shrink, float coupled, float rate1, float beta2, float rate2, float unbias2, float eps,
            float size) {
    each(group, [=](float& p, float g, float* m, float* v) {
        g += coupled * p;
        *m = or_zero(*m + rate1 * (g - *m));
        *v = or_zero(beta2 * *v + rate2 * g * g);
        p = shrink * p - size * *m / (sqrtf(*v) * unbias2 + eps);
    });
}
EXPORT(adam)

KERNEL rmsprop(Group group, float lr, float alpha, float rest, float eps, float momentum, float decay) {
    each(group, [=](float& p, float g, float* square, float* velocity) {
        g += decay * p;
        *square = or_zero(alpha * *square + rest * g * g);
        *velocity = or_zero(momentum * *velocity + g / (sqrtf(*square) + eps));
        p -= lr * *velocity;
    });
}
EXPORT(rmsprop)

// The second state tensor is not read.
KERNEL sgd(Group group, float lr, float momentum, float decay, int nesterov) {
    each(group, [=](float& p, float g, float* velocity, float*) {
        g += decay * p;
        *velocity = or_zero(momentum * *velocity + g);
        p -= lr * (nesterov ? g + momentum * *velocity : *velocity);
    });
}
EXPORT(sgd)
