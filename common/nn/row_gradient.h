/* row_gradient.h - the gradient of one row's loss, for private.c. Defined with the
 * loops of learn.c and sequence_learn.c, whose benches they use. Private to this room.
 */
#ifndef WITAN_NN_ROW_GRADIENT_H
#define WITAN_NN_ROW_GRADIENT_H

#include "nn/learn.h"
#include "nn/sequence_learn.h"

/* Cross-entropy of row `index`. *gradient [trainable] is the bench's own; the caller
 * may write to it. Meaningless when the loss is not finite. */
double learn_row_gradient(const witan_learner *self, witan_bench *bench,
                          const witan_rows *rows, uint32_t index, witan_random *dropout,
                          float **gradient);

/* The same of a window, mean over its positions. */
double sequence_row_gradient(const witan_sequence_learner *self,
                             witan_sequence_bench *bench, const witan_token_rows *rows,
                             uint32_t index, witan_random *dropout, float **gradient);

#endif
