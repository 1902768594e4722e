/* release_private.h - scores that look at rows alone, not at models.
 * Why here: release.c trains and asks; these two only read. Private to client/core. */
#ifndef WITAN_CLIENT_CORE_RELEASE_PRIVATE_H
#define WITAN_CLIENT_CORE_RELEASE_PRIVATE_H

#include "client/core/learner.h"

/* Both: s [transfer rows * positions], raised where the score is larger; of this
 * config. Errors: E_CONFIG (wrong kind of data), E_MEMORY, E_NUMERIC. */

/* Text. A token with a digit is private; in a vocabulary of single characters a digit
 * is when it stands beside another one, or at an edge of its window, where the run may
 * have been cut. Only 0 to 9 are digits. A position scores 1 when the token that it
 * predicts is private, or one of the `rules_reach` tokens before that is; else 0. */
WITAN_NODISCARD witan_status witan_release_judge_rules(
    double *s, const witan_learning_plan *plan, const witan_allocator *allocator);

/* Features. exp(-n / density), n private rows within `radius` (Euclidean) of the
 * transfer row. features: of a row. Cost O(transfer rows * private rows * features). */
WITAN_NODISCARD witan_status witan_release_judge_density(
    double *s, const witan_learning_plan *plan, const witan_part *train,
    size_t features, const witan_allocator *allocator);

#endif
