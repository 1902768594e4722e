/* combine.c - weighted means of soft labels, one per recipient.
 * Why here: every strategy that exchanges knowledge ends in this product.
 * Blocks of transfer rows are decoded for all speakers, multiplied by up to TILE rows
 * of W at a time, normalised and encoded at once. */
#include <math.h>
#include <string.h>

#include "fusion/fusion.h"
#include "num/gemm.h"
#include "num/softmax.h"

/* Recipients of one product: enough for OpenBLAS to run near its best. */
#define TILE ((size_t)128)
/* Decoded values of one block, all speakers together: 4 MiB of floats. */
#define BLOCK_VALUES ((size_t)1 << 20)
/* log(0) is kept out of logit fusion; below half a step of u16 (7.6e-6). */
#define PROBABILITY_FLOOR 1e-8F

typedef struct combination {
    const witan_fusion_input *input;
    const double *W;
    witan_combine combine;
    size_t N, rows, C;
    size_t block;     /* rows of a block */
    size_t distinct;  /* rows of W that are multiplied */
    size_t tile;      /* at a time */
    size_t *source;   /* [N] recipient whose row of W is equal, <= own number */
    size_t *multiply; /* [distinct] recipients whose rows are multiplied */
    float *weights;   /* [distinct, N] */
    float *knowledge; /* [N, block * C] */
    float *fused;     /* [tile, block * C] */
} combination;

/* The one speaker that row n of W listens to with weight 1, or N. */
static size_t
only_speaker(const combination *self, size_t n)
{
    const double *row = self->W + n * self->N;
    size_t speaker = self->N;
    for (size_t m = 0; m < self->N; m++) {
        if (row[m] >= 1.0 && row[m] <= 1.0 && speaker == self->N) {
            speaker = m;
        } else if (row[m] > 0.0 || row[m] < 0.0) {
            return self->N;
        }
    }
    return speaker;
}

/* Fills source, multiply and distinct. */
static void
find_distinct_rows(combination *self)
{
    size_t N = self->N;
    self->distinct = 0;
    for (size_t n = 0; n < N; n++) {
        self->source[n] = n;
        if (only_speaker(self, n) < N) {
            continue;
        }
        for (size_t u = 0; u < self->distinct; u++) {
            size_t earlier = self->multiply[u];
            if (memcmp(self->W + n * N, self->W + earlier * N, N * sizeof(double)) ==
                0) {
                self->source[n] = earlier;
                break;
            }
        }
        if (self->source[n] == n) {
            self->multiply[self->distinct++] = n;
        }
    }
}

static void
combination_fini(combination *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->source);
    witan_free(allocator, self->multiply);
    witan_free(allocator, self->weights);
    witan_free(allocator, self->knowledge);
    witan_free(allocator, self->fused);
}

static witan_status
combination_init(combination *self, const double *W, const witan_fusion_input *input,
                 witan_combine combine, const witan_allocator *allocator)
{
    size_t N = input->clients, C = input->labels[0]->classes;
    *self = (combination){.input = input,
                          .W = W,
                          .combine = combine,
                          .N = N,
                          .rows = input->labels[0]->rows,
                          .C = C};
    self->source = witan_alloc(allocator, N, sizeof *self->source);
    self->multiply = witan_alloc(allocator, N, sizeof *self->multiply);
    if (self->source == NULL || self->multiply == NULL) {
        return WITAN_E_MEMORY;
    }
    find_distinct_rows(self);

    self->block = BLOCK_VALUES / N / C;
    self->block = self->block == 0 ? 1 : self->block;
    self->block = self->block < self->rows ? self->block : self->rows;
    self->tile = self->distinct < TILE ? self->distinct : TILE;
    size_t values = self->block * C;
    self->weights = witan_alloc(allocator, self->distinct * N, sizeof(float));
    self->knowledge = witan_alloc(allocator, N * values, sizeof(float));
    self->fused = witan_alloc(allocator, self->tile * values, sizeof(float));
    if (self->weights == NULL || self->knowledge == NULL || self->fused == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t u = 0; u < self->distinct; u++) {
        for (size_t m = 0; m < N; m++) {
            self->weights[u * N + m] = (float)W[self->multiply[u] * N + m];
        }
    }
    return WITAN_OK;
}

/* What is averaged: probabilities or their logarithms. values [count, C]. */
static void
decode_for(witan_combine combine, const witan_soft_labels *labels, size_t first,
           size_t count, float *values)
{
    if (combine == WITAN_COMBINE_PROBABILITY) {
        witan_soft_labels_probabilities(labels, first, count, values);
        return;
    }
    witan_soft_labels_decode(labels, first, count, values);
    if (labels->kind == WITAN_KNOWLEDGE_LOG_PROBABILITY) {
        return;
    }
    for (size_t i = 0; i < count * labels->classes; i++) {
        values[i] = logf(values[i] < PROBABILITY_FLOOR ? PROBABILITY_FLOOR : values[i]);
    }
}

/* Rows [count, C] to the simplex. */
static void
finish_rows(witan_combine combine, float *values, size_t count, size_t C)
{
    if (combine == WITAN_COMBINE_LOGIT) {
        witan_softmax(values, values, 1.0, count, C);
        return;
    }
    for (size_t n = 0; n < count; n++, values += C) {
        double sum = 0.0;
        for (size_t c = 0; c < C; c++) {
            sum += (double)values[c];
        }
        float inverse = (float)(1.0 / sum);
        for (size_t c = 0; c < C; c++) {
            values[c] *= inverse;
        }
    }
}

/* One block of rows into the outputs of all distinct recipients. */
static witan_status
combine_block(witan_soft_labels *out, const combination *self, size_t first,
              size_t count)
{
    size_t N = self->N, values = count * self->C;
    for (size_t m = 0; m < N; m++) {
        decode_for(self->combine, self->input->labels[m], first, count,
                   self->knowledge + m * values);
    }
    for (size_t u = 0; u < self->distinct; u += self->tile) {
        size_t left = self->distinct - u, tile = left < self->tile ? left : self->tile;
        witan_gemm(self->fused, values,
                   (witan_factor){.data = self->weights + u * N, .stride = N},
                   (witan_factor){.data = self->knowledge, .stride = values}, tile,
                   values, N, 0.0F);
        for (size_t i = 0; i < tile; i++) {
            float *fused = self->fused + i * values;
            finish_rows(self->combine, fused, count, self->C);
            WITAN_TRY(witan_soft_labels_encode(&out[self->multiply[u + i]], first,
                                               count, fused));
        }
    }
    return WITAN_OK;
}

/* out = the probabilities of one speaker. */
static witan_status
copy_speaker(witan_soft_labels *out, const combination *self, size_t speaker)
{
    const witan_soft_labels *labels = self->input->labels[speaker];
    if (labels->kind == WITAN_KNOWLEDGE_PROBABILITY) {
        memcpy(out->bytes, labels->bytes, out->size);
        return WITAN_OK;
    }
    for (size_t first = 0; first < self->rows; first += self->block) {
        size_t left = self->rows - first;
        size_t count = left < self->block ? left : self->block;
        witan_soft_labels_probabilities(labels, first, count, self->knowledge);
        WITAN_TRY(witan_soft_labels_encode(out, first, count, self->knowledge));
    }
    return WITAN_OK;
}

static witan_status
combine_all(witan_soft_labels *out, const combination *self)
{
    for (size_t first = 0; first < self->rows && self->distinct > 0;
         first += self->block) {
        size_t left = self->rows - first;
        WITAN_TRY(
            combine_block(out, self, first, left < self->block ? left : self->block));
    }
    for (size_t n = 0; n < self->N; n++) {
        size_t speaker = only_speaker(self, n);
        if (speaker < self->N) {
            WITAN_TRY(copy_speaker(&out[n], self, speaker));
        } else if (self->source[n] != n) {
            memcpy(out[n].bytes, out[self->source[n]].bytes, out[n].size);
        }
    }
    return WITAN_OK;
}

static bool
inputs_agree(const witan_fusion_input *input)
{
    if (input->clients == 0 || input->labels == NULL) {
        return false;
    }
    const witan_soft_labels *one = input->labels[0];
    for (size_t m = 1; m < input->clients; m++) {
        const witan_soft_labels *other = input->labels[m];
        if (other->rows != one->rows || other->classes != one->classes ||
            other->codec != one->codec) {
            return false;
        }
    }
    return true;
}

witan_status
witan_fusion_combine(witan_soft_labels *out, const double *W,
                     const witan_fusion_input *input, witan_combine combine,
                     const witan_allocator *allocator)
{
    memset(out, 0, input->clients * sizeof *out);
    if (!inputs_agree(input)) {
        return WITAN_E_INVALID;
    }
    combination work;
    const witan_soft_labels *one = input->labels[0];
    if (combine == WITAN_COMBINE_LOGIT && witan_codec_top(one->codec) > 0) {
        return WITAN_E_INVALID;
    }
    witan_status status = combination_init(&work, W, input, combine, allocator);
    for (size_t n = 0; n < input->clients && status == WITAN_OK; n++) {
        status = witan_soft_labels_new(&out[n], allocator, WITAN_KNOWLEDGE_PROBABILITY,
                                       one->codec, one->rows, one->classes);
    }
    if (status == WITAN_OK) {
        status = combine_all(out, &work);
    }
    for (size_t n = 0; n < input->clients && status != WITAN_OK; n++) {
        witan_soft_labels_fini(&out[n], allocator);
    }
    combination_fini(&work, allocator);
    return status;
}
