;; What has to be done for every byte of a text, sixteen bytes at a time: where an escape may begin, where long runs of
;; digits begin, and the symbols of a canonical view without the bytes that the view drops.
;;
;; Stateless: everything lies in the memory that kernel.ts lays out. Bytes are told apart by 32 bytes of tables, one for
;; the low and one for the high four bits of a byte; it belongs to the classes whose bits both entries share (the
;; vectorised classification of Mula and Lemire). Texts are followed by 32 bytes of zero, bitmaps by 16.
;; Compiled by `npm run kernel` into kernel-bytes.ts.
(module
  (memory (export "memory") 8)

  ;; The classes of sixteen bytes.
  (func $classes (param $bytes v128) (param $table i32) (result v128)
    (v128.and
      (i8x16.swizzle (v128.load (local.get $table))
        (v128.and (local.get $bytes) (v128.const i8x16 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15)))
      (i8x16.swizzle (v128.load offset=16 (local.get $table)) (i8x16.shr_u (local.get $bytes) (i32.const 4)))))

  ;; One bit for each byte that has one of the classes.
  (func $bitsOf (param $classes v128) (param $wanted v128) (result i32)
    (i8x16.bitmask
      (i8x16.ne (v128.and (local.get $classes) (local.get $wanted)) (v128.const i64x2 0 0))))

  ;; One bit for each byte after which the escape reader has to look. "[" counts before "R" only, and "U" before "+" or
  ;; one of \ % & [.
  (func $leads (param $text i32) (param $leadTable i32) (result i32)
    (local $bytes v128) (local $next v128)
    (local.set $bytes (v128.load (local.get $text)))
    (local.set $next (v128.load offset=1 (local.get $text)))
    (i8x16.bitmask
      (v128.andnot
        (i8x16.ne (call $classes (local.get $bytes) (local.get $leadTable)) (v128.const i64x2 0 0))
        (v128.or
          (v128.and
            (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x5b)))
            (i8x16.ne (local.get $next) (i8x16.splat (i32.const 0x52))))
          (v128.and
            (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x55)))
            (v128.not
              (v128.or
                (v128.or
                  (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x2b)))
                  (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x5c))))
                (v128.or
                  (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x5b)))
                  (v128.or
                    (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x25)))
                    (i8x16.eq (local.get $next) (i8x16.splat (i32.const 0x26))))))))))))

  ;; Writes the bytes of the mask one behind the other; gives where they end. Eight bytes are written for each half.
  (func $compact (param $bytes v128) (param $mask i32) (param $shuffles i32) (param $out i32) (result i32)
    (v128.store64_lane 0 (local.get $out)
      (i8x16.swizzle (local.get $bytes)
        (v128.load64_zero
          (i32.add (local.get $shuffles) (i32.shl (i32.and (local.get $mask) (i32.const 255)) (i32.const 3))))))
    (local.set $out (i32.add (local.get $out) (i32.popcnt (i32.and (local.get $mask) (i32.const 255)))))
    (v128.store64_lane 0 (local.get $out)
      (i8x16.swizzle (local.get $bytes)
        (v128.or
          (v128.const i8x16 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8)
          (v128.load64_zero
            (i32.add (local.get $shuffles) (i32.shl (i32.shr_u (local.get $mask) (i32.const 8)) (i32.const 3)))))))
    (i32.add (local.get $out) (i32.popcnt (i32.shr_u (local.get $mask) (i32.const 8)))))

  ;; Writes two bitmaps, one bit for each byte: where an escape may begin, and where sixteen digits in a row begin.
  ;; Gives 1 if there may be a lead, plus 2 if there is a run, plus 4 if there is a byte 0x8b; and writes the symbols of the
  ;; loose view as `view` does.
  ;; Classes: 1, 2, 4 letters and decimal digits; 8, 16 further digits of base64; 32 no ASCII; 64, 128 may be leads.
  (func (export "scan")
    (param $text i32) (param $length i32) (param $table i32) (param $leadTable i32)
    (param $leads i32) (param $runs i32)
    (param $shuffles i32) (param $kept i32) (param $ranks i32) (param $symbols i32) (result i32)
    (local $at i32) (local $map i32) (local $out i32) (local $mask i32) (local $anyLead i32)
    (local $bytes v128) (local $classes v128) (local $any8b v128)
    (local $low i64) (local $high i64) (local $anyRun i64)
    (local.set $out (local.get $symbols))
    (block $read
      (loop $chunk
        (br_if $read (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $bytes (v128.load (i32.add (local.get $text) (local.get $at))))
        (local.set $classes (call $classes (local.get $bytes) (local.get $table)))
        (local.set $map (i32.shr_u (local.get $at) (i32.const 3)))
        (local.set $any8b
          (v128.or (local.get $any8b) (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x8b)))))
        (i32.store16 (i32.add (local.get $runs) (local.get $map))
          (call $bitsOf (local.get $classes) (i8x16.splat (i32.const 0x1f))))
        (local.set $mask (i32.const 0))
        (if (v128.any_true (v128.and (local.get $classes) (i8x16.splat (i32.const 0xe0))))
          (then
            (local.set $mask (call $leads (i32.add (local.get $text) (local.get $at)) (local.get $leadTable)))
            (local.set $anyLead (i32.or (local.get $anyLead) (local.get $mask)))))
        (i32.store16 (i32.add (local.get $leads) (local.get $map)) (local.get $mask))
        (local.set $mask (call $bitsOf (local.get $classes) (i8x16.splat (i32.const 0x27))))
        (i32.store16 (i32.add (local.get $kept) (local.get $map)) (local.get $mask))
        (i32.store16 (i32.add (local.get $ranks) (local.get $map)) (i32.sub (local.get $out) (local.get $symbols)))
        (local.set $out
          (call $compact
            (v128.or (local.get $bytes)
              (v128.andnot (i8x16.splat (i32.const 0x20)) (i8x16.shr_s (local.get $bytes) (i32.const 7))))
            (local.get $mask) (local.get $shuffles) (local.get $out)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $chunk)))
    (local.set $map (i32.shr_u (local.get $at) (i32.const 3)))
    (i32.store16 (i32.add (local.get $ranks) (local.get $map)) (i32.sub (local.get $out) (local.get $symbols)))
    (i32.store16 (i32.add (local.get $kept) (local.get $map)) (i32.const 0))
    ;; The bitmap of digits becomes one of runs: 2, 4, 8 and 16 digits in a row.
    (v128.store (i32.add (local.get $runs) (local.get $map)) (v128.const i64x2 0 0))
    (local.set $at (local.get $runs))
    (local.set $map (i32.add (local.get $runs) (local.get $map)))
    (block $folded
      (loop $word
        (br_if $folded (i32.ge_u (local.get $at) (local.get $map)))
        (local.set $low (i64.load (local.get $at)))
        (local.set $high (i64.load offset=8 (local.get $at)))
        (local.set $low (i64.and (local.get $low)
          (i64.or (i64.shr_u (local.get $low) (i64.const 1)) (i64.shl (local.get $high) (i64.const 63)))))
        (local.set $high (i64.and (local.get $high) (i64.shr_u (local.get $high) (i64.const 1))))
        (local.set $low (i64.and (local.get $low)
          (i64.or (i64.shr_u (local.get $low) (i64.const 2)) (i64.shl (local.get $high) (i64.const 62)))))
        (local.set $high (i64.and (local.get $high) (i64.shr_u (local.get $high) (i64.const 2))))
        (local.set $low (i64.and (local.get $low)
          (i64.or (i64.shr_u (local.get $low) (i64.const 4)) (i64.shl (local.get $high) (i64.const 60)))))
        (local.set $high (i64.and (local.get $high) (i64.shr_u (local.get $high) (i64.const 4))))
        (local.set $low (i64.and (local.get $low)
          (i64.or (i64.shr_u (local.get $low) (i64.const 8)) (i64.shl (local.get $high) (i64.const 56)))))
        (i64.store (local.get $at) (local.get $low))
        (local.set $anyRun (i64.or (local.get $anyRun) (local.get $low)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $word)))
    (i32.or
      (i32.ne (local.get $anyLead) (i32.const 0))
      (i32.or
        (i32.shl (i64.ne (local.get $anyRun) (i64.const 0)) (i32.const 1))
        (i32.shl (v128.any_true (local.get $any8b)) (i32.const 2)))))

  ;; Writes the symbols of a view one behind the other, a bitmap of the bytes that have one, and for every sixteen
  ;; bytes how many symbols lie before them.
  (func (export "view")
    (param $text i32) (param $length i32) (param $table i32)
    (param $shuffles i32) (param $kept i32) (param $ranks i32) (param $symbols i32)
    (local $at i32) (local $map i32) (local $out i32) (local $mask i32) (local $bytes v128)
    (local.set $out (local.get $symbols))
    (block $read
      (loop $chunk
        (br_if $read (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $bytes (v128.load (i32.add (local.get $text) (local.get $at))))
        (local.set $map (i32.shr_u (local.get $at) (i32.const 3)))
        (local.set $mask
          (call $bitsOf (call $classes (local.get $bytes) (local.get $table)) (i8x16.splat (i32.const 0xff))))
        (i32.store16 (i32.add (local.get $kept) (local.get $map)) (local.get $mask))
        (i32.store16 (i32.add (local.get $ranks) (local.get $map)) (i32.sub (local.get $out) (local.get $symbols)))
        (local.set $out
          (call $compact (local.get $bytes) (local.get $mask) (local.get $shuffles) (local.get $out)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $chunk)))
    (local.set $map (i32.shr_u (local.get $at) (i32.const 3)))
    (i32.store16 (i32.add (local.get $ranks) (local.get $map)) (i32.sub (local.get $out) (local.get $symbols)))
    (i32.store16 (i32.add (local.get $kept) (local.get $map)) (i32.const 0))))
