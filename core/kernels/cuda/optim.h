// Optimizer steps over several parameters in one launch.
#pragma once

#include "target.h"

const int TENSORS = 24;      // parameters of a launch
const int PART = 4096;       // elements of one block
const int FACTORS = 8;       // numbers of a rule, at most

// Parameters of a launch with their gradients, state and rule. The blocks first[i]..first[i + 1] work on parameter i;
// the last element of `first` fills the structure up to its alignment.
struct Group {
    float* p[TENSORS];
    const float* g[TENSORS];
    float* s[TENSORS];
    float* t[TENSORS];
    long long len[TENSORS];
    unsigned first[TENSORS + 2];
    float factors[TENSORS][FACTORS];
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
    const float *g = group.g[tensor], *factors = group.factors[tensor];
    for (long long i = start + threadIdx.x; i < end; i += blockDim.x) rule(factors, p[i], g[i], s + i, t + i);
}

KERNEL adam(Group group) {
    each(group, [](const float* factors, float& p, float g, float* m, float* v) {
        float shrink = factors[0], coupled = factors[1], rate1 = factors[2], beta2 = factors[3];
        float rate2 = factors[4], unbias2 = factors[5], eps = factors[6], size = factors[7];
        g += coupled * p;
        *m = or_zero(*m + rate1 * (g - *m));
        *v = or_zero(beta2 * *v + rate2 * g * g);
        p = shrink * p - size * *m / (sqrtf(*v) * unbias2 + eps);
    });
}
EXPORT(adam)

KERNEL rmsprop(Group group) {
    each(group, [](const float* factors, float& p, float g, float* square, float* velocity) {
        float lr = factors[0], alpha = factors[1], rest = factors[2];
        float eps = factors[3], momentum = factors[4], decay = factors[5];
        g += decay * p;
        *square = or_zero(alpha * *square + rest * g * g);
        *velocity = or_zero(momentum * *velocity + g / (sqrtf(*square) + eps));
        p -= lr * *velocity;
    });
}
EXPORT(rmsprop)

// The second state tensor is not read. The step is mine·g + ahead·velocity: the velocity alone, or with Nesterov's
// momentum the gradient plus one more step of it.
KERNEL sgd(Group group) {
    each(group, [](const float* factors, float& p, float g, float* velocity, float*) {
        float lr = factors[0], momentum = factors[1], decay = factors[2], mine = factors[3], ahead = factors[4];
        g += decay * p;
        *velocity = or_zero(momentum * *velocity + g);
        p -= lr * (mine * g + ahead * *velocity);
    });
}
EXPORT(sgd)
