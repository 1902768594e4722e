/* convolution.h - one two-dimensional convolution layer with what is fused into it.
 * Why here: nn plans layers, the kernels run them; both need the geometry.
 * Layout: images [rows, columns, channels]; weights [filters, kernel, kernel,
 * channels]. */
#ifndef WITAN_NUM_CONVOLUTION_H
#define WITAN_NUM_CONVOLUTION_H

#include <stdbool.h>
#include <stddef.h>

typedef struct witan_convolution {
    size_t height, width, channels; /* input */
    size_t filters;
    size_t kernel, stride, padding; /* square window; padding < kernel */
    bool relu;                      /* applied after the bias */
    bool pool;                      /* then a 2 x 2 max pool of stride 2 */
    size_t rows, columns;           /* of the convolution itself, before the pool */
} witan_convolution;

/* Route of a pooled maximum back to its source: 0 to 3 in row order, or none where
 * the fused ReLU is flat. */
enum {
    WITAN_ROUTE_NONE = 4
};

/* Output extents, after the pool. */
static inline size_t
witan_convolution_out_rows(const witan_convolution *self)
{
    return self->pool ? self->rows / 2 : self->rows;
}

static inline size_t
witan_convolution_out_columns(const witan_convolution *self)
{
    return self->pool ? self->columns / 2 : self->columns;
}

#endif
