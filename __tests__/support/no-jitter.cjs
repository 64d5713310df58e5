'use strict';
Math.random = () => 0;
