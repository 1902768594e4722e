/* model_pass.c - the forward and the backward pass over a model's steps. */
#include <string.h>

#include "nn/dropout.h"
#include "nn/model_plan.h"

#define NORM_EPSILON 1e-5f
#define BATCH_NORM_MOMENTUM 0.1f

/* --- forward -------------------------------------------------------------------- */

/* A buffer for a step's output that holds neither its input nor the open shortcut. */
static float *
output_buffer(const witan_workspace *ws, size_t step, const float *x,
              const float *shortcut)
{
    if (ws->training) {
        return ws->output[step];
    }
    size_t i = 0;
    while (ws->turn[i] == x || ws->turn[i] == shortcut) {
        i++;
    }
    return ws->turn[i];
}

static witan_normalisation
norm_shape(const model_step *step, size_t count)
{
    size_t pixels = step->in.height * step->in.width;
    bool batch = step->kind == WITAN_LAYER_BATCH_NORM;
    return (witan_normalisation){.samples = batch ? 1 : count,
                                 .pixels = batch ? count * pixels : pixels,
                                 .channels = step->in.channels,
                                 .groups = step->groups,
                                 .epsilon = NORM_EPSILON};
}

/* Moves the running statistics a tenth of the way; the variance enters unbiased. A
 * batch of one number has no variance: it leaves the running one alone. */
static void
update_running(const model_step *step, float *parameters, const float *mean,
               const float *variance, size_t n)
{
    float *running_mean = parameters + step->running_mean;
    float *running_variance = parameters + step->running_variance;
    float unbias = n > 1 ? (float)((double)n / (double)(n - 1)) : 0.0f;
    for (size_t c = 0; c < step->in.channels; c++) {
        running_mean[c] += BATCH_NORM_MOMENTUM * (mean[c] - running_mean[c]);
        if (n > 1) {
            running_variance[c] +=
                BATCH_NORM_MOMENTUM * (variance[c] * unbias - running_variance[c]);
        }
    }
}

static void
running_forward(const model_step *step, const witan_workspace *ws,
                const float *parameters, float *y, const float *x, size_t count)
{
    size_t channels = step->in.channels;
    float *scale = ws->scratch, *shift = scale + channels;
    const float *mean = parameters + step->running_mean;
    const float *variance = parameters + step->running_variance;
    for (size_t c = 0; c < channels; c++) {
        scale[c] =
            parameters[step->weight + c] / __builtin_sqrtf(variance[c] + NORM_EPSILON);
        shift[c] = parameters[step->bias + c] - mean[c] * scale[c];
    }
    ws->kernels->scale_shift(y, x, scale, shift,
                             count * step->in.height * step->in.width, channels);
}

static void
norm_forward(const model_step *step, const witan_workspace *ws, float *parameters,
             float *saved, float *y, const float *x, size_t count, bool training)
{
    if (step->kind == WITAN_LAYER_BATCH_NORM && !training) {
        running_forward(step, ws, parameters, y, x, count);
        return;
    }
    witan_normalisation shape = norm_shape(step, count);
    float *mean = saved, *variance = saved + shape.samples * shape.groups;
    ws->kernels->normalise_forward(&shape, y, mean, variance, x,
                                   parameters + step->weight, parameters + step->bias,
                                   ws->scratch);
    if (step->kind == WITAN_LAYER_BATCH_NORM) {
        update_running(step, parameters, mean, variance, shape.pixels);
    }
}

static void
shortcut_forward(const model_step *step, const witan_workspace *ws,
                 const float *parameters, float *y, const float *x,
                 const float *shortcut, size_t count)
{
    if (step->projects) {
        ws->kernels->convolution_forward(&step->convolution, y, NULL, shortcut,
                                         parameters + step->weight, NULL, count,
                                         ws->scratch);
        shortcut = y;
    }
    ws->kernels->add(y, x, shortcut, count * shape_size(step->out));
}

/* Runs one step from x and returns where its output lies. */
static const float *
step_forward(const witan_model *self, witan_workspace *ws, float *parameters,
             size_t index, const float *x, const float *shortcut, size_t count,
             bool training, witan_random *random)
{
    const model_step *step = &self->step[index];
    const witan_kernels *kernels = ws->kernels;
    size_t total = count * shape_size(step->out);
    void *saved = ws->saved[index], *route = training ? saved : NULL;
    if (step->kind == WITAN_LAYER_RESIDUAL_BEGIN ||
        (step->kind == WITAN_LAYER_DROPOUT && (!training || !(step->rate > 0)))) {
        return x;
    }
    float *y = output_buffer(ws, index, x, shortcut);
    switch (step->kind) {
    case WITAN_LAYER_DENSE:
        kernels->dense_forward(y, x, parameters + step->weight, parameters + step->bias,
                               step->relu, count, shape_size(step->in),
                               shape_size(step->out), ws->scratch);
        break;
    case WITAN_LAYER_CONVOLUTION:
        kernels->convolution_forward(
            &step->convolution, y, step->convolution.pool ? route : NULL, x,
            parameters + step->weight, parameters + step->bias, count, ws->scratch);
        break;
    case WITAN_LAYER_MAX_POOL:
        kernels->max_pool_forward(&step->pooling, y, route, x, count);
        break;
    case WITAN_LAYER_AVERAGE_POOL:
    case WITAN_LAYER_GLOBAL_AVERAGE_POOL:
        kernels->average_pool_forward(&step->pooling, y, x, count);
        break;
    case WITAN_LAYER_RELU:
        kernels->relu_forward(y, x, total);
        break;
    case WITAN_LAYER_GELU:
        kernels->gelu_forward(y, x, total);
        break;
    case WITAN_LAYER_TANH:
        kernels->tanh_forward(y, x, total);
        break;
    case WITAN_LAYER_DROPOUT:
        draw_mask(saved, step->rate, total, random);
        kernels->multiply(y, x, saved, total);
        break;
    case WITAN_LAYER_GROUP_NORM:
    case WITAN_LAYER_BATCH_NORM:
        norm_forward(step, ws, parameters, saved, y, x, count, training);
        break;
    case WITAN_LAYER_RESIDUAL_END:
        shortcut_forward(step, ws, parameters, y, x, shortcut, count);
        break;
    case WITAN_LAYER_RESIDUAL_BEGIN:
        break;
    }
    return y;
}

const float *
witan_model_forward(const witan_model *self, witan_workspace *workspace,
                    float *parameters, size_t count, bool training,
                    witan_random *random)
{
    WITAN_ASSERT(count >= 1 && count <= workspace->batch);
    WITAN_ASSERT(workspace->training || !training);
    WITAN_ASSERT(!training || random != NULL || !self->has_dropout);
    const float *x = workspace->input, *shortcut = NULL;
    workspace->count = training ? count : 0;
    workspace->value[0] = x;
    for (size_t i = 0; i < self->steps; i++) {
        if (self->step[i].kind == WITAN_LAYER_RESIDUAL_BEGIN) {
            shortcut = x;
        }
        x = step_forward(self, workspace, parameters, i, x, shortcut, count, training,
                         random);
        if (self->step[i].kind == WITAN_LAYER_RESIDUAL_END) {
            shortcut = NULL;
        }
        workspace->value[i + 1] = x;
    }
    return x;
}

/* --- backward ------------------------------------------------------------------- */

/* One of the two gradient buffers in turn, the one that does not hold g. The third
 * keeps the shortcut's gradient. */
static float *
other_buffer(const witan_workspace *ws, const float *g)
{
    return ws->turn[0] == g ? ws->turn[1] : ws->turn[0];
}

static const float *
dense_backward(const model_step *step, const witan_workspace *ws,
               const float *parameters, float *gradient, const float *g, const float *x,
               const float *y)
{
    size_t inputs = shape_size(step->in), outputs = shape_size(step->out);
    size_t count = ws->count;
    if (step->relu) {
        float *masked = other_buffer(ws, g);
        ws->kernels->relu_backward(masked, g, y, count * outputs);
        g = masked;
    }
    float *dx = step->passes_back ? other_buffer(ws, g) : NULL;
    ws->kernels->dense_backward(gradient + step->weight, gradient + step->bias, dx, g,
                                x, parameters + step->weight, count, inputs, outputs,
                                ws->scratch);
    return dx;
}

static void
norm_backward(const model_step *step, const witan_workspace *ws,
              const float *parameters, float *gradient, const float *saved, float *dx,
              const float *g, const float *x)
{
    witan_normalisation shape = norm_shape(step, ws->count);
    ws->kernels->normalise_backward(
        &shape, dx, gradient + step->weight, gradient + step->bias, g, x, saved,
        saved + shape.samples * shape.groups, parameters + step->weight, ws->scratch);
}

/* Leaves the shortcut's gradient in the third buffer; g goes on into the branch. */
static void
shortcut_backward(const witan_model *self, const model_step *step,
                  const witan_workspace *ws, const float *parameters, float *gradient,
                  const float *g)
{
    const model_step *begin = &self->step[step->partner];
    float *kept = ws->turn[2];
    if (!step->projects) {
        memcpy(kept, g, ws->count * shape_size(step->out) * sizeof *g);
        return;
    }
    ws->kernels->convolution_backward(
        &step->convolution, gradient + step->weight, NULL,
        begin->passes_back ? kept : NULL, g, NULL, NULL, ws->value[step->partner],
        parameters + step->weight, ws->count, ws->scratch);
}

/* Gradient of the input of one step from g, that of its output; NULL when nothing
 * before it learns. */
static const float *
step_backward(const witan_model *self, witan_workspace *ws, const float *parameters,
              float *gradient, size_t index, const float *g)
{
    const model_step *step = &self->step[index];
    const witan_kernels *kernels = ws->kernels;
    const float *x = ws->value[index], *y = ws->value[index + 1];
    const void *saved = ws->saved[index];
    size_t count = ws->count, total = count * shape_size(step->out);
    float *dx = other_buffer(ws, g);
    switch (step->kind) {
    case WITAN_LAYER_DENSE:
        return dense_backward(step, ws, parameters, gradient, g, x, y);
    case WITAN_LAYER_CONVOLUTION:
        kernels->convolution_backward(&step->convolution, gradient + step->weight,
                                      gradient + step->bias,
                                      step->passes_back ? dx : NULL, g, y, saved, x,
                                      parameters + step->weight, count, ws->scratch);
        break;
    case WITAN_LAYER_MAX_POOL:
        kernels->max_pool_backward(&step->pooling, dx, g, saved, count);
        break;
    case WITAN_LAYER_AVERAGE_POOL:
    case WITAN_LAYER_GLOBAL_AVERAGE_POOL:
        kernels->average_pool_backward(&step->pooling, dx, g, count);
        break;
    case WITAN_LAYER_RELU:
        kernels->relu_backward(dx, g, y, total);
        break;
    case WITAN_LAYER_GELU:
        kernels->gelu_backward(dx, g, x, total);
        break;
    case WITAN_LAYER_TANH:
        kernels->tanh_backward(dx, g, y, total);
        break;
    case WITAN_LAYER_DROPOUT:
        if (!(step->rate > 0)) {
            return g;
        }
        kernels->multiply(dx, g, saved, total);
        break;
    case WITAN_LAYER_GROUP_NORM:
    case WITAN_LAYER_BATCH_NORM:
        norm_backward(step, ws, parameters, gradient, saved, dx, g, x);
        break;
    case WITAN_LAYER_RESIDUAL_BEGIN:
        kernels->add(dx, g, ws->turn[2], total);
        break;
    case WITAN_LAYER_RESIDUAL_END:
        shortcut_backward(self, step, ws, parameters, gradient, g);
        return g;
    }
    return dx;
}

void
witan_model_backward(const witan_model *self, witan_workspace *workspace,
                     const float *parameters, const float *dz, float *gradient)
{
    WITAN_ASSERT(workspace->count > 0);
    const float *g = dz;
    for (size_t i = self->steps; i-- > 0;) {
        if (!self->step[i].trainable && !self->step[i].passes_back) {
            break; /* nothing from here down learns */
        }
        g = step_backward(self, workspace, parameters, gradient, i, g);
    }
}
