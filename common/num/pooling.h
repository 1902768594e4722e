/* pooling.h - geometry of a pooling layer; a global pool is one window of image size.
 */
#ifndef WITAN_NUM_POOLING_H
#define WITAN_NUM_POOLING_H

#include <stddef.h>

/* Rows and columns of a max pool's window: a tap's number fits a byte. */
#define WITAN_POOLING_MAX_WINDOW 15

typedef struct witan_pooling {
    size_t height, width, channels;     /* input */
    size_t window_rows, window_columns; /* at most 255 taps for a max pool */
    size_t stride;
    size_t padding;       /* < window; never the maximum, zeros that count in a mean */
    size_t rows, columns; /* output */
} witan_pooling;

#endif
