;; What has to be done for every byte of a text, sixteen bytes at a time: where an escape may begin, where long runs of
;; digits begin, and the symbols of a canonical view without the bytes that the view drops. Besides, for runs of digits:
;; where they stand for text, and that text.
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

  ;; The same for classes up to 64, with one instruction less.
  (func $lowBitsOf (param $classes v128) (param $wanted v128) (result i32)
    (i8x16.bitmask (i8x16.neg (v128.and (local.get $classes) (local.get $wanted)))))

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
        (i32.store16 (i32.add (local.get $runs) (local.get $map))
          (call $lowBitsOf (local.get $classes) (i8x16.splat (i32.const 0x1f))))
        (local.set $mask (i32.const 0))
        (if (v128.any_true (v128.and (local.get $classes) (i8x16.splat (i32.const 0xe0))))
          (then
            (local.set $any8b
              (v128.or (local.get $any8b) (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x8b)))))
            (local.set $mask (call $leads (i32.add (local.get $text) (local.get $at)) (local.get $leadTable)))
            (local.set $anyLead (i32.or (local.get $anyLead) (local.get $mask)))))
        (i32.store16 (i32.add (local.get $leads) (local.get $map)) (local.get $mask))
        (local.set $mask (call $lowBitsOf (local.get $classes) (i8x16.splat (i32.const 0x27))))
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
    (i32.store16 (i32.add (local.get $kept) (local.get $map)) (i32.const 0)))

  ;; The values of base64 digits of both alphabets (after Mula); any other byte has the highest bit set.
  (func $values64 (param $bytes v128) (param $table i32) (result v128)
    (v128.or
      (i8x16.sub
        (i8x16.add
          (i8x16.add (local.get $bytes)
            (i8x16.swizzle (v128.const i8x16 0 0 16 4 -65 -65 -71 -71 0 0 0 0 0 0 0 0)
              (i8x16.shr_u (local.get $bytes) (i32.const 4))))
          (v128.or
            (v128.and (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x2b))) (i8x16.splat (i32.const 3)))
            (v128.and (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x5f))) (i8x16.splat (i32.const 33)))))
        (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x2d))))
      (v128.and
        (i8x16.eq
          (v128.and (call $classes (local.get $bytes) (local.get $table)) (i8x16.splat (i32.const 0x1f)))
          (v128.const i64x2 0 0))
        (i8x16.splat (i32.const 0x80)))))

  ;; The values of hexadecimal digits; any other byte has the highest bit set.
  (func $values16 (param $bytes v128) (param $table i32) (result v128)
    (v128.or
      (i8x16.add
        (v128.and (local.get $bytes) (i8x16.splat (i32.const 15)))
        (v128.and (i8x16.gt_s (local.get $bytes) (i8x16.splat (i32.const 0x3f))) (i8x16.splat (i32.const 9))))
      (v128.and
        (i8x16.eq (call $classes (local.get $bytes) (local.get $table)) (v128.const i64x2 0 0))
        (i8x16.splat (i32.const 0x80)))))

  ;; One bit for each byte of `bytes` that is text and of which both digits are digits.
  (func $textBits (param $bytes v128) (param $digits v128) (param $textTable i32) (result i32)
    (i32.and
      (call $bitsOf (call $classes (local.get $bytes) (local.get $textTable)) (i8x16.splat (i32.const 0xff)))
      (i32.xor (i8x16.bitmask (local.get $digits)) (i32.const 0xffff))))

  ;; The bits so many places further on in a bitmap, for one of its words and the one behind it.
  (func $shifted (param $low i64) (param $high i64) (param $by i64) (result i64)
    (i64.or
      (i64.shr_u (local.get $low) (local.get $by))
      (i64.shl (local.get $high) (i64.sub (i64.const 64) (local.get $by)))))

  ;; Writes two bitmaps, one bit for each byte: where three groups of four base64 digits in a row stand for text, and
  ;; where seven pairs of hexadecimal digits do. The length is a multiple of 64; the maps have one more word each.
  ;; `second` and `third` are scratch memory of the same size.
  (func (export "texts")
    (param $text i32) (param $length i32) (param $scanTable i32) (param $hexTable i32) (param $textTable i32)
    (param $groups i32) (param $second i32) (param $third i32) (param $pairs i32)
    (local $at i32) (local $map i32) (local $digits v128) (local $next v128) (local $both v128)
    (local $ahead64 v128) (local $ahead16 v128) (local $low i64) (local $high i64)
    (local.set $ahead64 (call $values64 (v128.load (local.get $text)) (local.get $scanTable)))
    (local.set $ahead16 (call $values16 (v128.load (local.get $text)) (local.get $hexTable)))
    (block $read
      (loop $chunk
        (br_if $read (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $map (i32.shr_u (local.get $at) (i32.const 3)))
        (local.set $digits (local.get $ahead64))
        (local.set $ahead64
          (call $values64 (v128.load offset=16 (i32.add (local.get $text) (local.get $at))) (local.get $scanTable)))
        (local.set $next
          (i8x16.shuffle 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 (local.get $digits) (local.get $ahead64)))
        (local.set $both (v128.or (local.get $digits) (local.get $next)))
        ;; What the first two of four digits stand for, the second two, and the last two.
        (i32.store16 (i32.add (local.get $groups) (local.get $map))
          (call $textBits
            (v128.or
              (i8x16.shl (local.get $digits) (i32.const 2))
              (i8x16.shr_u (local.get $next) (i32.const 4)))
            (local.get $both) (local.get $textTable)))
        (i32.store16 (i32.add (local.get $second) (local.get $map))
          (call $textBits
            (v128.or
              (i8x16.shl (local.get $digits) (i32.const 4))
              (i8x16.shr_u (local.get $next) (i32.const 2)))
            (local.get $both) (local.get $textTable)))
        (i32.store16 (i32.add (local.get $third) (local.get $map))
          (call $textBits
            (v128.or (i8x16.shl (local.get $digits) (i32.const 6)) (local.get $next))
            (local.get $both) (local.get $textTable)))
        (local.set $digits (local.get $ahead16))
        (local.set $ahead16
          (call $values16 (v128.load offset=16 (i32.add (local.get $text) (local.get $at))) (local.get $hexTable)))
        (local.set $next
          (i8x16.shuffle 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 (local.get $digits) (local.get $ahead16)))
        (i32.store16 (i32.add (local.get $pairs) (local.get $map))
          (call $textBits
            (v128.or (i8x16.shl (local.get $digits) (i32.const 4)) (local.get $next))
            (v128.or (local.get $digits) (local.get $next)) (local.get $textTable)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $chunk)))
    (local.set $length (i32.shr_u (local.get $length) (i32.const 3)))
    (i64.store (i32.add (local.get $groups) (local.get $length)) (i64.const 0))
    (i64.store (i32.add (local.get $second) (local.get $length)) (i64.const 0))
    (i64.store (i32.add (local.get $third) (local.get $length)) (i64.const 0))
    (i64.store (i32.add (local.get $pairs) (local.get $length)) (i64.const 0))
    ;; Groups that are text as a whole, and 2, 4 and 7 pairs in a row.
    (local.set $at (i32.const 0))
    (block $grouped
      (loop $word
        (br_if $grouped (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $map (i32.add (local.get $groups) (local.get $at)))
        (local.set $low (i64.load (local.get $map)))
        (local.set $low
          (i64.and (local.get $low)
            (i64.and
              (call $shifted
                (i64.load (i32.add (local.get $second) (local.get $at)))
                (i64.load offset=8 (i32.add (local.get $second) (local.get $at)))
                (i64.const 1))
              (call $shifted
                (i64.load (i32.add (local.get $third) (local.get $at)))
                (i64.load offset=8 (i32.add (local.get $third) (local.get $at)))
                (i64.const 2)))))
        (i64.store (local.get $map) (local.get $low))
        (local.set $map (i32.add (local.get $pairs) (local.get $at)))
        (local.set $low (i64.load (local.get $map)))
        (local.set $high (i64.load offset=8 (local.get $map)))
        (local.set $low
          (i64.and (local.get $low) (call $shifted (local.get $low) (local.get $high) (i64.const 2))))
        (local.set $high (i64.and (local.get $high) (i64.shr_u (local.get $high) (i64.const 2))))
        (local.set $low
          (i64.and (local.get $low) (call $shifted (local.get $low) (local.get $high) (i64.const 4))))
        (local.set $high (i64.and (local.get $high) (i64.shr_u (local.get $high) (i64.const 4))))
        (i64.store (local.get $map)
          (i64.and (local.get $low) (call $shifted (local.get $low) (local.get $high) (i64.const 6))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $word)))
    ;; Three groups in a row.
    (local.set $at (i32.const 0))
    (block $joined
      (loop $word
        (br_if $joined (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $map (i32.add (local.get $groups) (local.get $at)))
        (local.set $low (i64.load (local.get $map)))
        (local.set $high (i64.load offset=8 (local.get $map)))
        (i64.store (local.get $map)
          (i64.and (local.get $low)
            (i64.and
              (call $shifted (local.get $low) (local.get $high) (i64.const 4))
              (call $shifted (local.get $low) (local.get $high) (i64.const 8)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $word))))

  ;; Decodes base64 digits, sixteen at a time, as long as they stand for text; gives where it stopped. Writes twelve
  ;; bytes for each sixteen digits, and four more at the end.
  (func (export "decode64")
    (param $text i32) (param $end i32) (param $scanTable i32) (param $textTable i32) (param $out i32) (result i32)
    (local $digits v128)
    (block $stopped
      (loop $chunk
        (br_if $stopped (i32.gt_u (i32.add (local.get $text) (i32.const 16)) (local.get $end)))
        (local.set $digits (call $values64 (v128.load (local.get $text)) (local.get $scanTable)))
        (br_if $stopped (i8x16.bitmask (local.get $digits)))
        ;; Twelve bits of each two digits, then 24 bits of each four, then their bytes in order.
        (local.set $digits
          (v128.or
            (i16x8.shl (v128.and (local.get $digits) (i16x8.splat (i32.const 255))) (i32.const 6))
            (i16x8.shr_u (local.get $digits) (i32.const 8))))
        (local.set $digits
          (v128.or
            (i32x4.shl (v128.and (local.get $digits) (i32x4.splat (i32.const 0xffff))) (i32.const 12))
            (i32x4.shr_u (local.get $digits) (i32.const 16))))
        (local.set $digits
          (i8x16.swizzle (local.get $digits) (v128.const i8x16 2 1 0 6 5 4 10 9 8 14 13 12 12 12 12 12)))
        (br_if $stopped
          (i32.ne
            (call $bitsOf
              (call $classes (local.get $digits) (local.get $textTable)) (i8x16.splat (i32.const 0xff)))
            (i32.const 0xffff)))
        (v128.store (local.get $out) (local.get $digits))
        (local.set $out (i32.add (local.get $out) (i32.const 12)))
        (local.set $text (i32.add (local.get $text) (i32.const 16)))
        (br $chunk)))
    (local.get $text))

  ;; As `decode64`, for hexadecimal digits: eight bytes for each sixteen digits.
  (func (export "decode16")
    (param $text i32) (param $end i32) (param $hexTable i32) (param $textTable i32) (param $out i32) (result i32)
    (local $digits v128)
    (block $stopped
      (loop $chunk
        (br_if $stopped (i32.gt_u (i32.add (local.get $text) (i32.const 16)) (local.get $end)))
        (local.set $digits (call $values16 (v128.load (local.get $text)) (local.get $hexTable)))
        (br_if $stopped (i8x16.bitmask (local.get $digits)))
        (local.set $digits
          (v128.or
            (i16x8.shl (v128.and (local.get $digits) (i16x8.splat (i32.const 255))) (i32.const 4))
            (i16x8.shr_u (local.get $digits) (i32.const 8))))
        (local.set $digits (i8x16.narrow_i16x8_u (local.get $digits) (local.get $digits)))
        (br_if $stopped
          (i32.ne
            (call $bitsOf
              (call $classes (local.get $digits) (local.get $textTable)) (i8x16.splat (i32.const 0xff)))
            (i32.const 0xffff)))
        (v128.store64_lane 0 (local.get $out) (local.get $digits))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $text (i32.add (local.get $text) (i32.const 16)))
        (br $chunk)))
    (local.get $text)))
