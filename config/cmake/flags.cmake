# Warnings, hardening and instrumentation for every target.

add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wvla -Wformat=2
                    -Wundef -Wpointer-arith -Wwrite-strings -fno-strict-aliasing -fwrapv -fno-common -fno-delete-null-pointer-checks)
add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64)

# 32-bit time_t ends in 2038; glibc offers 64 bits there on request.
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    add_compile_definitions(_TIME_BITS=64)
endif()

if(FACTEUR_WERROR)
    add_compile_options(-Werror)
endif()

if(FACTEUR_SANITIZE)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
else()
    set(CMAKE_REQUIRED_FLAGS -Werror) # clang takes, and warns of, flags that another architecture has
    foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -mbranch-protection=standard
                 -ftrivial-auto-var-init=zero)
        string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
        check_c_compiler_flag(${flag} ${known})
        if(${known})
            add_compile_options(${flag})
        endif()
    endforeach()
    unset(CMAKE_REQUIRED_FLAGS)
    add_compile_options($<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=3>)
    add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
endif()
add_compile_options($<$<CONFIG:Release>:-O2> -ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections)
include(CheckPIESupported)
check_pie_supported()

if(FACTEUR_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-fsanitize=fuzzer-no-link)
endif()
if(FACTEUR_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
