/* Adze: kernels for large-language-model inference behind a plain C ABI. Include this one. */
#ifndef ADZE_ADZE_H_
#define ADZE_ADZE_H_

#include "attention.h"
#include "base.h"
#include "glue.h"
#include "linear.h"
#include "runtime.h"
#include "sampling.h"
#include "sim.h"

#endif
