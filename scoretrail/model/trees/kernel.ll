; The tree kernel, in LLVM's own language: docs/explanation/trees.md tells how it works.
;
; $T is the type of features, thresholds and leaf values (float or double), $L the number of rows that one pass of
; @strips scores together, $G the number of entries that @rows looks at together. A model is a table of 64-bit slots,
; numbers and addresses, in the order of scoretrail.model.trees.layout.Layout.slots; nothing here checks a bound,
; Layout has done it.
;
; Arithmetic has no fast-math flag: LLVM may neither reorder nor contract it.

declare <$L x i32> @llvm.cttz.v${L}i32(<$L x i32>, i1)
declare i32 @llvm.cttz.i32(i32, i1)
declare <$L x $T> @llvm.masked.gather.v${L}${S}.v${L}p0(<$L x ptr>, i32, <$L x i1>, <$L x $T>)
declare <$G x $T> @llvm.masked.gather.v${G}${S}.v${G}p0(<$G x ptr>, i32, <$G x i1>, <$G x $T>)
declare i32 @llvm.vector.reduce.and.v${G}i32(<$G x i32>)
declare $T @llvm.fabs.${S}($T)
declare $T @$EXP($T)

; Scores n_rows rows, $L at a time. columns: an address per feature; out: n_targets x n_rows;
; work: (n_columns + n_targets) x $L.
define void @strips(ptr %model, ptr %columns, i64 %n_rows, ptr noalias %out, ptr noalias %work) {
entry:
  br label %strip
strip:
  %start = phi i64 [ 0, %entry ], [ %stop, %strip ]
  %stop = add i64 %start, $L
  %left = sub i64 %n_rows, %start
  %full = icmp ugt i64 %left, $L
  %count = select i1 %full, i64 $L, i64 %left
  call void @fill_strip(ptr %model, ptr %columns, i64 %start, i64 %count, ptr %work)
  call void @trees_strip(ptr %model, ptr %work)
  call void @give_strip(ptr %model, ptr %out, i64 %n_rows, i64 %start, i64 %count, ptr %work)
  %more = icmp ult i64 %stop, %n_rows
  br i1 %more, label %strip, label %done
done:
  ret void
}

; Copies what the trees look at: a feature as it is, negated, or with -infinity for NaN.
define internal void @fill_strip(ptr %model, ptr %columns, i64 %start, i64 %count, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %source_at = getelementptr i64, ptr %model, i64 3
  %source = load ptr, ptr %source_at
  %kind_at = getelementptr i64, ptr %model, i64 4
  %kind = load ptr, ptr %kind_at
  %full = icmp eq i64 %count, $L
  %low.1 = insertelement <$L x $T> poison, $T 0xFFF0000000000000, i32 0
  %low = shufflevector <$L x $T> %low.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %any = icmp ne i64 %n_columns, 0
  br i1 %any, label %column, label %done
column:
  %c = phi i64 [ 0, %entry ], [ %c.next, %store ]
  %feature_at = getelementptr i32, ptr %source, i64 %c
  %feature = load i32, ptr %feature_at
  %pointer_at = getelementptr ptr, ptr %columns, i32 %feature
  %pointer = load ptr, ptr %pointer_at
  %from = getelementptr $T, ptr %pointer, i64 %start
  %offset = mul i64 %c, $L
  %to = getelementptr $T, ptr %work, i64 %offset
  br i1 %full, label %whole, label %part
part:
  %i = phi i64 [ 0, %column ], [ %i.next, %part ]
  %one_at = getelementptr $T, ptr %from, i64 %i
  %one = load $T, ptr %one_at
  %place = getelementptr $T, ptr %to, i64 %i
  store $T %one, ptr %place
  %i.next = add i64 %i, 1
  %i.more = icmp ult i64 %i.next, %count
  br i1 %i.more, label %part, label %whole
whole:
  %at = phi ptr [ %from, %column ], [ %to, %part ]
  %x = load <$L x $T>, ptr %at, align $A
  %k_at = getelementptr i32, ptr %kind, i64 %c
  %k = load i32, ptr %k_at
  %k.negate = and i32 %k, 1
  %negates = icmp ne i32 %k.negate, 0
  %negated = fneg <$L x $T> %x
  %signed = select i1 %negates, <$L x $T> %negated, <$L x $T> %x
  %k.low = and i32 %k, 2
  %lowers = icmp ne i32 %k.low, 0
  br i1 %lowers, label %lower, label %store
lower:
  %ordered = fcmp ord <$L x $T> %signed, %signed
  %lowered = select <$L x i1> %ordered, <$L x $T> %signed, <$L x $T> %low
  br label %store
store:
  %value = phi <$L x $T> [ %signed, %whole ], [ %lowered, %lower ]
  store <$L x $T> %value, ptr %to, align $A
  %c.next = add i64 %c, 1
  %c.more = icmp ult i64 %c.next, %n_columns
  br i1 %c.more, label %column, label %done
done:
  ret void
}

; Adds every tree, in order, to the sums behind the columns in work.
define internal void @trees_strip(ptr %model, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %n_trees_at = getelementptr i64, ptr %model, i64 1
  %n_trees = load i64, ptr %n_trees_at
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %entry_column_at = getelementptr i64, ptr %model, i64 5
  %entry_column = load ptr, ptr %entry_column_at
  %entry_threshold_at = getelementptr i64, ptr %model, i64 6
  %entry_threshold = load ptr, ptr %entry_threshold_at
  %entry_mask_at = getelementptr i64, ptr %model, i64 7
  %entry_mask = load ptr, ptr %entry_mask_at
  %group_end_at = getelementptr i64, ptr %model, i64 8
  %group_end = load ptr, ptr %group_end_at
  %group_leaf_at = getelementptr i64, ptr %model, i64 9
  %group_leaf = load ptr, ptr %group_leaf_at
  %tree_end_at = getelementptr i64, ptr %model, i64 10
  %tree_end = load ptr, ptr %tree_end_at
  %tree_value_at = getelementptr i64, ptr %model, i64 11
  %tree_value = load ptr, ptr %tree_value_at
  %tree_target_at = getelementptr i64, ptr %model, i64 12
  %tree_target = load ptr, ptr %tree_target_at
  %tree_width_at = getelementptr i64, ptr %model, i64 13
  %tree_width = load ptr, ptr %tree_width_at
  %values_at = getelementptr i64, ptr %model, i64 14
  %values = load ptr, ptr %values_at
  %sums_offset = mul i64 %n_columns, $L
  %sums = getelementptr $T, ptr %work, i64 %sums_offset
  %first.1 = insertelement <$L x $T> poison, $T $FIRST, i32 0
  %first = shufflevector <$L x $T> %first.1, <$L x $T> poison, <$L x i32> zeroinitializer
  br label %clear
clear:
  %s = phi i64 [ 0, %entry ], [ %s.next, %clear ]
  %s.offset = mul i64 %s, $L
  %s.at = getelementptr $T, ptr %sums, i64 %s.offset
  store <$L x $T> %first, ptr %s.at, align $A
  %s.next = add i64 %s, 1
  %s.more = icmp ult i64 %s.next, %n_targets
  br i1 %s.more, label %clear, label %tree

tree:
  %t = phi i64 [ 0, %clear ], [ %t.next, %tree.end ]
  %t.group = phi i64 [ 0, %clear ], [ %g.next, %tree.end ]
  %t.entry = phi i64 [ 0, %clear ], [ %g.stop, %tree.end ]
  %t.end_at = getelementptr i32, ptr %tree_end, i64 %t
  %t.end32 = load i32, ptr %t.end_at
  %t.end = zext i32 %t.end32 to i64
  br label %group

; A group is one word of 32 leaves. The last word comes first, so that the first leaf left stays.
group:
  %g = phi i64 [ %t.group, %tree ], [ %g.next, %group.end ]
  %g.start = phi i64 [ %t.entry, %tree ], [ %g.stop, %group.end ]
  %leaf = phi <$L x i32> [ zeroinitializer, %tree ], [ %leaf.next, %group.end ]
  %g.stop_at = getelementptr i32, ptr %group_end, i64 %g
  %g.stop32 = load i32, ptr %g.stop_at
  %g.stop = zext i32 %g.stop32 to i64
  %g.any = icmp ult i64 %g.start, %g.stop
  br i1 %g.any, label %node, label %group.end

; Clears the leaves of the left side where the row goes right: x > t, or NaN.
node:
  %e = phi i64 [ %g.start, %group ], [ %e.next, %node ]
  %word = phi <$L x i32> [ splat (i32 -1), %group ], [ %word.next, %node ]
  %column_at = getelementptr i32, ptr %entry_column, i64 %e
  %column = load i32, ptr %column_at
  %column64 = zext i32 %column to i64
  %x.offset = mul i64 %column64, $L
  %x.at = getelementptr $T, ptr %work, i64 %x.offset
  %x = load <$L x $T>, ptr %x.at, align $A
  %threshold_at = getelementptr $T, ptr %entry_threshold, i64 %e
  %threshold = load $T, ptr %threshold_at
  %threshold.1 = insertelement <$L x $T> poison, $T %threshold, i32 0
  %threshold.all = shufflevector <$L x $T> %threshold.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %right = fcmp ugt <$L x $T> %x, %threshold.all
  %mask_at = getelementptr i32, ptr %entry_mask, i64 %e
  %mask = load i32, ptr %mask_at
  %mask.1 = insertelement <$L x i32> poison, i32 %mask, i32 0
  %mask.all = shufflevector <$L x i32> %mask.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %cleared = and <$L x i32> %word, %mask.all
  %word.next = select <$L x i1> %right, <$L x i32> %cleared, <$L x i32> %word
  %e.next = add i64 %e, 1
  %e.more = icmp ult i64 %e.next, %g.stop
  br i1 %e.more, label %node, label %group.end

group.end:
  %word.left = phi <$L x i32> [ splat (i32 -1), %group ], [ %word.next, %node ]
  %base_at = getelementptr i32, ptr %group_leaf, i64 %g
  %base = load i32, ptr %base_at
  %base.1 = insertelement <$L x i32> poison, i32 %base, i32 0
  %base.all = shufflevector <$L x i32> %base.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %lowest = call <$L x i32> @llvm.cttz.v${L}i32(<$L x i32> %word.left, i1 false)
  %here = add <$L x i32> %lowest, %base.all
  %found = icmp ne <$L x i32> %word.left, zeroinitializer
  %leaf.next = select <$L x i1> %found, <$L x i32> %here, <$L x i32> %leaf
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %t.end
  br i1 %g.more, label %group, label %leaves

leaves:
  %width_at = getelementptr i32, ptr %tree_width, i64 %t
  %width = load i32, ptr %width_at
  %width.1 = insertelement <$L x i32> poison, i32 %width, i32 0
  %width.all = shufflevector <$L x i32> %width.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %place = mul <$L x i32> %leaf.next, %width.all
  %value_at = getelementptr i32, ptr %tree_value, i64 %t
  %value.first = load i32, ptr %value_at
  %value.first64 = zext i32 %value.first to i64
  %table = getelementptr $T, ptr %values, i64 %value.first64
  %target_at = getelementptr i32, ptr %tree_target, i64 %t
  %target = load i32, ptr %target_at
  br label %add
add:
  %k = phi i32 [ 0, %leaves ], [ %k.next, %add ]
  %k64 = zext i32 %k to i64
  %table.k = getelementptr $T, ptr %table, i64 %k64
  %from = getelementptr $T, ptr %table.k, <$L x i32> %place
  %v = call <$L x $T> @llvm.masked.gather.v${L}${S}.v${L}p0(<$L x ptr> %from, i32 $A, <$L x i1> splat (i1 true), <$L x $T> poison)
  %sum = add i32 %target, %k
  %sum64 = zext i32 %sum to i64
  %sum.offset = mul i64 %sum64, $L
  %sum.at = getelementptr $T, ptr %sums, i64 %sum.offset
  %before = load <$L x $T>, ptr %sum.at, align $A
  $COMBINE_STRIP
  store <$L x $T> %after, ptr %sum.at, align $A
  %k.next = add i32 %k, 1
  %k.more = icmp ult i32 %k.next, %width
  br i1 %k.more, label %add, label %tree.end
tree.end:
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %n_trees
  br i1 %t.more, label %tree, label %done
done:
  ret void
}

; Copies the sums of a strip to where they belong.
define internal void @give_strip(ptr %model, ptr %out, i64 %n_rows, i64 %start, i64 %count, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %sums_offset = mul i64 %n_columns, $L
  %sums = getelementptr $T, ptr %work, i64 %sums_offset
  %full = icmp eq i64 %count, $L
  br label %target
target:
  %k = phi i64 [ 0, %entry ], [ %k.next, %next ]
  %k.offset = mul i64 %k, $L
  %from = getelementptr $T, ptr %sums, i64 %k.offset
  %row = mul i64 %k, %n_rows
  %first = add i64 %row, %start
  %to = getelementptr $T, ptr %out, i64 %first
  br i1 %full, label %whole, label %part
whole:
  %all = load <$L x $T>, ptr %from, align $A
  store <$L x $T> %all, ptr %to, align $A
  br label %next
part:
  %i = phi i64 [ 0, %target ], [ %i.next, %part ]
  %one_at = getelementptr $T, ptr %from, i64 %i
  %one = load $T, ptr %one_at
  %place = getelementptr $T, ptr %to, i64 %i
  store $T %one, ptr %place
  %i.next = add i64 %i, 1
  %i.more = icmp ult i64 %i.next, %count
  br i1 %i.more, label %part, label %next
next:
  %k.next = add i64 %k, 1
  %k.more = icmp ult i64 %k.next, %n_targets
  br i1 %k.more, label %target, label %done
done:
  ret void
}

; Scores n_rows rows one by one, $G nodes of a tree at a time: for the few rows that would leave a strip empty.
; Same columns, out and sums as @strips; work: n_columns + n_targets.
define void @rows(ptr %model, ptr %columns, i64 %n_rows, ptr noalias %out, ptr noalias %work) {
entry:
  br label %row
row:
  %r = phi i64 [ 0, %entry ], [ %r.next, %row ]
  call void @score_row(ptr %model, ptr %columns, i64 %n_rows, i64 %r, ptr %out, ptr %work)
  %r.next = add i64 %r, 1
  %r.more = icmp ult i64 %r.next, %n_rows
  br i1 %r.more, label %row, label %done
done:
  ret void
}

define internal void @score_row(ptr %model, ptr %columns, i64 %n_rows, i64 %r, ptr %out, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %n_trees_at = getelementptr i64, ptr %model, i64 1
  %n_trees = load i64, ptr %n_trees_at
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %source_at = getelementptr i64, ptr %model, i64 3
  %source = load ptr, ptr %source_at
  %kind_at = getelementptr i64, ptr %model, i64 4
  %kind = load ptr, ptr %kind_at
  %entry_column_at = getelementptr i64, ptr %model, i64 5
  %entry_column = load ptr, ptr %entry_column_at
  %entry_threshold_at = getelementptr i64, ptr %model, i64 6
  %entry_threshold = load ptr, ptr %entry_threshold_at
  %entry_mask_at = getelementptr i64, ptr %model, i64 7
  %entry_mask = load ptr, ptr %entry_mask_at
  %group_end_at = getelementptr i64, ptr %model, i64 8
  %group_end = load ptr, ptr %group_end_at
  %group_leaf_at = getelementptr i64, ptr %model, i64 9
  %group_leaf = load ptr, ptr %group_leaf_at
  %tree_end_at = getelementptr i64, ptr %model, i64 10
  %tree_end = load ptr, ptr %tree_end_at
  %tree_value_at = getelementptr i64, ptr %model, i64 11
  %tree_value = load ptr, ptr %tree_value_at
  %tree_target_at = getelementptr i64, ptr %model, i64 12
  %tree_target = load ptr, ptr %tree_target_at
  %tree_width_at = getelementptr i64, ptr %model, i64 13
  %tree_width = load ptr, ptr %tree_width_at
  %values_at = getelementptr i64, ptr %model, i64 14
  %values = load ptr, ptr %values_at
  %any = icmp ne i64 %n_columns, 0
  br i1 %any, label %fill, label %clear.first
fill:
  %c = phi i64 [ 0, %entry ], [ %c.next, %fill ]
  %feature_at = getelementptr i32, ptr %source, i64 %c
  %feature = load i32, ptr %feature_at
  %pointer_at = getelementptr ptr, ptr %columns, i32 %feature
  %pointer = load ptr, ptr %pointer_at
  %given_at = getelementptr $T, ptr %pointer, i64 %r
  %given = load $T, ptr %given_at
  %kind.c_at = getelementptr i32, ptr %kind, i64 %c
  %kind.c = load i32, ptr %kind.c_at
  %kind.negate = and i32 %kind.c, 1
  %negates = icmp ne i32 %kind.negate, 0
  %negated = fneg $T %given
  %signed = select i1 %negates, $T %negated, $T %given
  %kind.low = and i32 %kind.c, 2
  %lowers = icmp ne i32 %kind.low, 0
  %unordered = fcmp uno $T %signed, %signed
  %lowered = and i1 %lowers, %unordered
  %value = select i1 %lowered, $T 0xFFF0000000000000, $T %signed
  %fill.at = getelementptr $T, ptr %work, i64 %c
  store $T %value, ptr %fill.at
  %c.next = add i64 %c, 1
  %c.more = icmp ult i64 %c.next, %n_columns
  br i1 %c.more, label %fill, label %clear.first
clear.first:
  %sums = getelementptr $T, ptr %work, i64 %n_columns
  br label %clear
clear:
  %s = phi i64 [ 0, %clear.first ], [ %s.next, %clear ]
  %s.at = getelementptr $T, ptr %sums, i64 %s
  store $T $FIRST, ptr %s.at
  %s.next = add i64 %s, 1
  %s.more = icmp ult i64 %s.next, %n_targets
  br i1 %s.more, label %clear, label %tree

tree:
  %t = phi i64 [ 0, %clear ], [ %t.next, %tree.end ]
  %t.group = phi i64 [ 0, %clear ], [ %g.next, %tree.end ]
  %t.entry = phi i64 [ 0, %clear ], [ %g.stop, %tree.end ]
  %t.end_at = getelementptr i32, ptr %tree_end, i64 %t
  %t.end32 = load i32, ptr %t.end_at
  %t.end = zext i32 %t.end32 to i64
  br label %group
group:
  %g = phi i64 [ %t.group, %tree ], [ %g.next, %group.end ]
  %g.start = phi i64 [ %t.entry, %tree ], [ %g.stop, %group.end ]
  %leaf = phi i32 [ 0, %tree ], [ %leaf.next, %group.end ]
  %g.stop_at = getelementptr i32, ptr %group_end, i64 %g
  %g.stop32 = load i32, ptr %g.stop_at
  %g.stop = zext i32 %g.stop32 to i64
  %g.any = icmp ult i64 %g.start, %g.stop
  br i1 %g.any, label %nodes, label %group.end

; The last entries of a group are read together with the next group's, whose lanes then do not count.
nodes:
  %e = phi i64 [ %g.start, %group ], [ %e.next, %nodes ]
  %word = phi <$G x i32> [ splat (i32 -1), %group ], [ %word.next, %nodes ]
  %column_at = getelementptr i32, ptr %entry_column, i64 %e
  %column = load <$G x i32>, ptr %column_at, align 4
  %x.at = getelementptr $T, ptr %work, <$G x i32> %column
  %x = call <$G x $T> @llvm.masked.gather.v${G}${S}.v${G}p0(<$G x ptr> %x.at, i32 $A, <$G x i1> splat (i1 true), <$G x $T> poison)
  %threshold_at = getelementptr $T, ptr %entry_threshold, i64 %e
  %threshold = load <$G x $T>, ptr %threshold_at, align $A
  %right = fcmp ugt <$G x $T> %x, %threshold
  %e.left = sub i64 %g.stop, %e
  %e.left32 = trunc i64 %e.left to i32
  %left.1 = insertelement <$G x i32> poison, i32 %e.left32, i32 0
  %left.all = shufflevector <$G x i32> %left.1, <$G x i32> poison, <$G x i32> zeroinitializer
  %counts = icmp ult <$G x i32> <$LANES>, %left.all
  %clears = and <$G x i1> %right, %counts
  %mask_at = getelementptr i32, ptr %entry_mask, i64 %e
  %mask = load <$G x i32>, ptr %mask_at, align 4
  %cleared = and <$G x i32> %word, %mask
  %word.next = select <$G x i1> %clears, <$G x i32> %cleared, <$G x i32> %word
  %e.next = add i64 %e, $G
  %e.more = icmp ult i64 %e.next, %g.stop
  br i1 %e.more, label %nodes, label %group.end
group.end:
  %words = phi <$G x i32> [ splat (i32 -1), %group ], [ %word.next, %nodes ]
  %word.left = call i32 @llvm.vector.reduce.and.v${G}i32(<$G x i32> %words)
  %base_at = getelementptr i32, ptr %group_leaf, i64 %g
  %base = load i32, ptr %base_at
  %lowest = call i32 @llvm.cttz.i32(i32 %word.left, i1 false)
  %here = add i32 %lowest, %base
  %found = icmp ne i32 %word.left, 0
  %leaf.next = select i1 %found, i32 %here, i32 %leaf
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %t.end
  br i1 %g.more, label %group, label %leaves
leaves:
  %width_at = getelementptr i32, ptr %tree_width, i64 %t
  %width = load i32, ptr %width_at
  %place = mul i32 %leaf.next, %width
  %value_at = getelementptr i32, ptr %tree_value, i64 %t
  %value.first = load i32, ptr %value_at
  %value.place = add i32 %value.first, %place
  %target_at = getelementptr i32, ptr %tree_target, i64 %t
  %target = load i32, ptr %target_at
  br label %add
add:
  %k = phi i32 [ 0, %leaves ], [ %k.next, %add ]
  %v.place = add i32 %value.place, %k
  %v.place64 = zext i32 %v.place to i64
  %v.at = getelementptr $T, ptr %values, i64 %v.place64
  %v = load $T, ptr %v.at
  %sum = add i32 %target, %k
  %sum64 = zext i32 %sum to i64
  %sum.at = getelementptr $T, ptr %sums, i64 %sum64
  %before = load $T, ptr %sum.at
  $COMBINE_ROW
  store $T %after, ptr %sum.at
  %k.next = add i32 %k, 1
  %k.more = icmp ult i32 %k.next, %width
  br i1 %k.more, label %add, label %tree.end
tree.end:
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %n_trees
  br i1 %t.more, label %tree, label %give
give:
  %o = phi i64 [ 0, %tree.end ], [ %o.next, %give ]
  %o.from = getelementptr $T, ptr %sums, i64 %o
  %o.value = load $T, ptr %o.from
  %o.row = mul i64 %o, %n_rows
  %o.place = add i64 %o.row, %r
  %o.at = getelementptr $T, ptr %out, i64 %o.place
  store $T %o.value, ptr %o.at
  %o.next = add i64 %o, 1
  %o.more = icmp ult i64 %o.next, %n_targets
  br i1 %o.more, label %give, label %done
done:
  ret void
}

; Replaces n values by the C library's exponential of them: the very function that ONNX Runtime calls.
define void @exponential(ptr %values, i64 %n) {
entry:
  %any = icmp ne i64 %n, 0
  br i1 %any, label %each, label %done
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %at = getelementptr $T, ptr %values, i64 %i
  %x = load $T, ptr %at
  %y = call $T @$EXP($T %x)
  store $T %y, ptr %at
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %n
  br i1 %more, label %each, label %done
done:
  ret void
}

; Replaces n values by their logistic function, as ONNX Runtime computes it: 1 / (1 + exp(-|x|)), or one less that.
define void @logistic(ptr %values, i64 %n) {
entry:
  %any = icmp ne i64 %n, 0
  br i1 %any, label %each, label %done
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %at = getelementptr $T, ptr %values, i64 %i
  %x = load $T, ptr %at
  %size = call $T @llvm.fabs.${S}($T %x)
  %power = fneg $T %size
  %raised = call $T @$EXP($T %power)
  %below = fadd $T 1.0, %raised
  %upper = fdiv $T 1.0, %below
  %lower = fsub $T 1.0, %upper
  %negative = fcmp olt $T %x, 0.0
  %y = select i1 %negative, $T %lower, $T %upper
  store $T %y, ptr %at
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %n
  br i1 %more, label %each, label %done
done:
  ret void
}
