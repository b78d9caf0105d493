// All kernels, one module of the GPU.
#include "heads.h"
#include "loss.h"
#include "optim.h"
#include "pointwise.h"
#include "rows.h"
#include "windows.h"
