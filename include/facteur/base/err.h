/* facteur: base/err: an error as a code and a sentence for a person.
 * Purpose:   carries why something failed, from the place that knows to the place that says it.
 * Owner:     the caller's, by value; nothing is allocated.
 * Thread:    any; a job has one of its own.
 * Limits:    a text of 479 octets, cut at the end.
 * Standards: codes are negative errno values, which are libuv's codes too. */
#ifndef FACTEUR_BASE_ERR_H
#define FACTEUR_BASE_ERR_H

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Returns the code of a failed call to our own caller; the only macro with an exit in it. */
#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        int try_code = (expr);                                                                                         \
        if (try_code < 0)                                                                                              \
            return try_code;                                                                                           \
    } while (0)

/* What an incremental parser answers, beside a negative code. */
enum progress { DONE = 0, MORE = 1 };

struct err {
    int code; /* 0, or negative errno */
    char text[480];
};

/* Sets code and text and returns code. `e` may be NULL: the code alone is returned. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text and returns the code. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The words of a negative errno value; never NULL. Safe in any thread. */
const char *err_text(int code);

#endif
